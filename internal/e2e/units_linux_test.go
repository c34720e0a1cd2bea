package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

// soundUnit holds a unit of contrib/systemd, under the name that it is installed with, to what
// systemd says of it.
func soundUnit(t *testing.T, name, installed string) {
	t.Helper()
	soundUnitUpTo(t, 20, name, installed)
}

// soundUnitUpTo is soundUnit for a unit that may be exposed by so much, of 100.
func soundUnitUpTo(t *testing.T, exposure int, name, installed string) {
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
	if dropIns := "../../contrib/systemd/" + installed + ".d"; exists(dropIns) {
		if err := os.CopyFS(unit+".d", os.DirFS(dropIns)); err != nil {
			t.Fatal(err)
		}
	}
	// What is wrong is printed; the exit code is 0 for most of it.
	if out := realparts.Run(t, "systemd-analyze", "verify", "--man=no", unit); out != "" {
		t.Errorf("verify says:\n%s", out)
	}
	realparts.Run(t, "systemd-analyze", "security", "--offline=true", fmt.Sprintf("--threshold=%d", exposure), unit)
}

func TestTheAgentsUnitIsSoundAndLocked(t *testing.T) {
	soundUnit(t, "simroot-agent.service", "simroot-agent.service")
}

func TestTheApplicationServersUnitIsSoundAndLocked(t *testing.T) {
	soundUnit(t, "simroot-appserver@.service", "simroot-appserver@coap.service")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Beside a server the unit is that server's user, and starts first.
func TestTheApplicationServersUnitIsSoundAndLockedBesideEachServer(t *testing.T) {
	// Having nginx reload takes root.
	for server, exposure := range map[string]int{"mosquitto": 20, "nginx": 25, "haproxy": 20} {
		t.Run(server, func(t *testing.T) {
			name := "simroot-appserver@" + server + ".service"
			if !exists("../../contrib/systemd/" + name + ".d/beside.conf") {
				t.Fatal("there is no drop-in")
			}
			soundUnitUpTo(t, exposure, "simroot-appserver@.service", name)
		})
	}
}
