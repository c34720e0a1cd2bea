package main

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// A platform that takes the question and never answers holds nobody up who presses the tab key.
func TestAPlatformThatIsSilentCompletesNothing(t *testing.T) {
	asked := make(chan struct{}, 1)
	server := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done() // until the command has given up
	}))
	defer server.Close()
	anchor := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(anchor, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs([]string{cobra.ShellCompRequestCmd, "platform", "sims", "list", "--platform", server.URL, "--ca", anchor, "--fleet", ""})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != ":4" {
		t.Errorf("completions: %q, want none, and no names of files", got)
	}
	select {
	case <-asked:
	default:
		t.Error("the platform was never asked")
	}
}
