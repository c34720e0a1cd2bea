package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

// completed is what the shell is told when the tab key is pressed behind the last word, which may be empty.
func completed(t *testing.T, platform *httptest.Server, words ...string) string {
	t.Helper()
	t.Cleanup(platform.Close)
	anchor := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(anchor, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: platform.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SIMROOT_PLATFORM", platform.URL)
	t.Setenv("SIMROOT_CA", anchor)
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs(append([]string{cobra.ShellCompRequestCmd, "platform"}, words...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

// Of more than anybody reads none is told: the shell would take what some have in common for what all have. And no
// more is asked for than what begins as typed.
func TestOfTooManyNoneIsCompleted(t *testing.T) {
	for _, n := range []int{maxCompletions, maxCompletions + 1} {
		platform := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if after := r.URL.Query().Get("after"); after != "8949" {
				t.Errorf("asked for what lies behind %q", after)
			}
			page := api.Page[api.SIM]{Next: "never"}
			for i := range n {
				page.Items = append(page.Items, api.SIM{ICCID: fmt.Sprintf("8949%015d", i)})
			}
			page.Items = append(page.Items, api.SIM{ICCID: "8950000000000000000"})
			json.NewEncoder(w).Encode(page)
		}))
		got := completed(t, platform, "sims", "show", "8949")
		if told := strings.Count(got, "8949"); n <= maxCompletions && told != n || n > maxCompletions && (told != 0 || !strings.Contains(got, "type on")) {
			t.Errorf("of %d, %d are told: %.100s", n, told, got)
		}
	}
}

// A platform that takes the question and never answers holds nobody up who presses the tab key.
func TestAPlatformThatIsSilentCompletesNothing(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done() // until the command has given up
	}))
	if got := completed(t, server, "sims", "list", "--fleet", ""); got != ":4" {
		t.Errorf("completions: %q, want none, and no names of files", got)
	}
	select {
	case <-asked:
	default:
		t.Error("the platform was never asked")
	}
}
