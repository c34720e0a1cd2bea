package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

// The commands of the quickstart work as they are written, one after the other.
func TestTheQuickstartRunsAsWritten(t *testing.T) {
	page, err := os.ReadFile("../../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "quickstart")
	if err := os.WriteFile(script, []byte("set -eu -o pipefail\n"+shellBlocks(string(page))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(realparts.Binary(t, "simroot"))+":"+os.Getenv("PATH"))
	p := realparts.StartCmd(t, cmd)
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.Output())
	}
	for _, want := range []string{"Created fleet meters", "Imported 1 SIMs", "holds a new credential", "revoked"} {
		if !strings.Contains(p.Output(), want) {
			t.Errorf("the quickstart does not print %q", want)
		}
	}
}

// shellBlocks is the content of a page's sh blocks.
func shellBlocks(page string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(page) {
		switch strings.TrimSpace(line) {
		case "```sh":
			inside = true
		case "```":
			inside = false
		default:
			if inside {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}
