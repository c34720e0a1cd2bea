package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

// soundUnit holds a unit of contrib/systemd, under the name that it is installed with, to what
// systemd says of it.
func soundUnit(t *testing.T, name, installed string) {
	t.Helper()
	text, err := os.ReadFile("../../contrib/systemd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	here := bytes.ReplaceAll(text, []byte("/usr/bin/simroot"), []byte(realparts.Binary(t, "simroot")))
	if bytes.Equal(here, text) {
		t.Fatal("the unit does not run simroot")
	}
	unit := filepath.Join(t.TempDir(), installed)
	if err := os.WriteFile(unit, here, 0o644); err != nil {
		t.Fatal(err)
	}
	// What is wrong is printed; the exit code is 0 for most of it.
	if out := realparts.Run(t, "systemd-analyze", "verify", "--man=no", unit); out != "" {
		t.Errorf("verify says:\n%s", out)
	}
	// Exposure, of 100.
	realparts.Run(t, "systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
}

func TestTheAgentsUnitIsSoundAndLocked(t *testing.T) {
	soundUnit(t, "simroot-agent.service", "simroot-agent.service")
}

func TestTheApplicationServersUnitIsSoundAndLocked(t *testing.T) {
	soundUnit(t, "simroot-appserver@.service", "simroot-appserver@coap.service")
}
