package main

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// A platform that takes the connection and says nothing holds nobody up who presses the tab key.
func TestAPlatformThatIsSilentCompletesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&bytes.Buffer{})
	root.SetArgs([]string{cobra.ShellCompRequestCmd, "platform", "sims", "list", "--platform", "https://" + l.Addr().String(), "--fleet", ""})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(out.String()); got != ":4" {
		t.Errorf("completions: %q, want none, and no names of files", got)
	}
}
