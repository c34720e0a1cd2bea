package device

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
)

func someStatus() AgentStatus {
	at := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	return AgentStatus{
		State: AgentReady, Since: at, ICCID: string(aSIM),
		Credential: &AgentCredential{ID: "c1", Type: api.CertificateType, Fleet: `a "b"` + "\n", NotBefore: at, NotAfter: at.Add(lifetime)},
		RenewAt:    at.Add(lifetime - renewBefore), NextAttempt: at, LastSuccess: at, Totals: AgentTotals{Attempts: 3, Credentials: 1, Commands: 17},
	}
}

func TestTheStatusFileIsReplacedAsAWhole(t *testing.T) {
	name := filepath.Join(t.TempDir(), "status.json")
	report := StatusFile(name)
	if err := report(someStatus()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 200 {
			if err := report(someStatus()); err != nil {
				t.Error(err)
			}
		}
	})
	for range 200 {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var s AgentStatus
		if err := json.Unmarshal(text, &s); err != nil || s.ICCID != string(aSIM) {
			t.Fatalf("%v in %q", err, text)
		}
		if _, err := ReadStatusFile(name); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 {
		t.Errorf("%v, %v: want the file alone", left, err)
	}
	if info, err := os.Stat(name); err != nil || info.Mode() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := StatusFile(filepath.Join(t.TempDir(), "missing", "status.json"))(someStatus()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	text := string(someStatus().Metrics())
	for _, want := range []string{
		`simroot_agent_state{state="ready"} 1`, `simroot_agent_state{state="sim_away"} 0`,
		`simroot_agent_sim_info{iccid="89882119900000000017",credential="c1",type="certificate",fleet="a \"b\"\n"} 1`,
		"simroot_agent_credential_not_after_seconds 1803290400", "simroot_agent_attempts_total 3", "simroot_agent_commands_total 17",
		"# TYPE simroot_agent_attempts_total counter",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for line := range strings.Lines(text) {
		name := strings.FieldsFunc(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), func(r rune) bool { return r == ' ' || r == '{' })[0]
		if !strings.HasPrefix(name, "simroot_agent_") || !strings.HasSuffix(line, "\n") {
			t.Errorf("%q", line)
		}
		if !strings.Contains(text, "# TYPE "+name+" ") || !strings.Contains(text, "# HELP "+name+" ") {
			t.Errorf("%s is not described", name)
		}
	}
	name := filepath.Join(t.TempDir(), "simroot.prom")
	if err := MetricsFile(name)(someStatus()); err != nil {
		t.Fatal(err)
	}
	if written, err := os.ReadFile(name); err != nil || string(written) != text {
		t.Errorf("%v, %s", err, written)
	}
}

func TestMetricsAreServed(t *testing.T) {
	a := NewAgent(AgentOptions{})
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Header().Get("Content-Type") != MetricsType || !strings.Contains(w.Body.String(), `simroot_agent_state{state="starting"} 1`) {
		t.Errorf("%v\n%s", w.Header(), w.Body)
	}
}

// The page for users names every field and every metric, and no other.
func TestThePageOnTheAgentNamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../docs/device-agent.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	full := someStatus()
	full.Problem, full.Code, full.LastAttempt = "p", "c", full.Since
	full.Credential.Identity = "i"
	encoded, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z_]+)[`{]").FindAllStringSubmatch(page, -1)
	on := map[string]bool{}
	for _, n := range named {
		on[n[1]] = true
	}
	for _, field := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(string(encoded), -1) {
		if !on[field[1]] {
			t.Errorf("the page does not name the field %s", field[1])
		}
	}
	for _, state := range AgentStates {
		if !on[string(state)] {
			t.Errorf("the page does not name the state %s", state)
		}
	}
	metrics := string(full.Metrics())
	for _, metric := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(metrics, -1) {
		if !on[metric[1]] {
			t.Errorf("the page does not name the metric %s", metric[1])
		}
	}
	for name := range on {
		if strings.HasPrefix(name, "simroot_agent_") && !strings.Contains(metrics, "# TYPE "+name+" ") {
			t.Errorf("the page names the metric %s, which there is not", name)
		}
	}
}
