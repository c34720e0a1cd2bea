package platform

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// admin serves the listener of those who run a platform and returns a way to ask it.
func admin(t *testing.T) (p *Platform, get func(path string) (int, string)) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "platform")
	if _, err := Init(dir, Options{}); err != nil {
		t.Fatal(err)
	}
	p, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- p.ServeAdmin(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		p.Close()
	})
	return p, func(path string) (int, string) {
		t.Helper()
		answer, err := http.Get("http://" + l.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(text)
	}
}

func TestReadinessTellsWhatIsNotThere(t *testing.T) {
	p, get := admin(t)
	if status, text := get(pathReady); status != http.StatusOK || strings.Contains(text, "false") {
		t.Errorf("%d %s, want all ready", status, text)
	}
	if err := p.store.Close(); err != nil {
		t.Fatal(err)
	}
	status, text := get(pathReady)
	var r readiness
	if err := json.Unmarshal([]byte(text), &r); err != nil || status != http.StatusServiceUnavailable || r.Ready || r.Checks["store"] || !r.Checks["ca"] || !r.Checks["kek"] {
		t.Errorf("without a store: %d %s, %v", status, text, err)
	}
	if status, _ := get(pathHealth); status != http.StatusOK {
		t.Errorf("the process works: %d", status)
	}
}

// The page for operators lists every metric, and no other.
func TestTheMetricsAreThoseOfTheOperationsPage(t *testing.T) {
	p, get := admin(t)
	p.metrics.Answered("get-sim", 200, 1)
	p.metrics.Limited("sim")
	p.metrics.Failed("expire")
	p.metrics.Follows()
	status, text := get(pathMetrics)
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	page, err := os.ReadFile("../../docs/platform/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	served, told := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (simroot_\w+) `).FindAllStringSubmatch(text, -1) {
		served[m[1]] = true
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(simroot_\\w+)`").FindAllStringSubmatch(string(page), -1) {
		told[m[1]] = true
	}
	if len(served) == 0 {
		t.Error("no metrics at all")
	}
	for name := range served {
		if !told[name] {
			t.Errorf("%s is not in the page", name)
		}
	}
	for name := range told {
		if !served[name] {
			t.Errorf("%s is in the page and not served", name)
		}
	}
}
