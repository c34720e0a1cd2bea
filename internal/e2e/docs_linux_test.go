package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

func TestTheQuickstartRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "quickstart.md", "Created fleet meters", "Imported 1 SIMs", "holds a new credential", "revoked")
}

func TestThePageOnTracesRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "tracing.md", "> 00A4", "SELECT", "SIM     89882119900000000017", "the session differs from the trace")
}

func TestThePageOnTheTunnelRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "device-tunnel.md", "ready udp:127.0.0.1:5683=127.0.0.1:5694", "</>;title=")
}

func TestThePageOnTheAgentRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "device-agent.md", "Imported 1 SIMs", "agent       ready since", "1 new credentials")
}

func TestThePageOnTheTerminatorRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "servers/coap.md", "ready dtls-psk:127.0.0.1:15684=127.0.0.1:15683", "</>;title=", "no answer any more")
}

func TestThePageOnMosquittoRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "servers/mosquitto.md", "23.4 kWh", "connections were ended", "\n0\n", "the tag is refused", "the meter goes on")
}

func TestThePageOnNginxRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "servers/nginx.md", "you are 89882119900000000017 of meters", "<title>40")
}

func TestThePageOnHAProxyRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "servers/haproxy.md", "you are 89882119900000000017\n", "you are 89882119900000000025\n")
}

func TestThePageOnNATSRunsAsWritten(t *testing.T) {
	realparts.Binary(t, "nats-server") // beside simroot
	runsAsWritten(t, "servers/nats.md", `Permissions Violation for Publish to "devices.other"`, "23 kWh", `a session was ended`, `reason="credential is revoked"`)
}

func TestThePageOnStoresRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "platform/stores.md", "Backed up the database to monday.db", "Restored.", "before-restore")
}

func TestThePageOnThePlatformsKeysRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "platform/keys.md", "Initialised sealed", "sealed/keys/kek.key", "current  0        file:kek-2.key")
}

func TestThePageOnImportRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "platform/import.md", "Sealed 2 SIMs into meters.batch", "Imported 1 SIMs into fleet meters", "lot 7 of Example Cards", "2 SIMs are good for fleet meters, 0 lines are not", "Imported 2 SIMs into fleet meters", "imported before: 2 SIMs")
}

func TestThePageOnESTRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "platform/est.md", "serialNumber = 89882119900000000017", "next.crt: OK", "superseded", "active")
}

func TestThePageOnLifeCyclesRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "platform/lifecycle.md", "is suspended", "is in fleet returned", "(certificate, fleet returned)",
		"has taken the place of 89882119900000000017", "SIMs       5%", "SIMs       all", "state      aborted", "done       1 of 1", "rollover      finished")
}

func TestThePageOnRevocationRunsAsWritten(t *testing.T) {
	runsAsWritten(t, "platform/revocation.md", "URI:http://pki.example.org/v1/crl/shards/", "certificate revoked", "refused, as it should be",
		"Key Compromise", "Delta CRL Indicator", "meter.pem: revoked", "broker.example", "entries, none altered")
}

// ended waits for what a page has started, which may write as it ends: its folder is removed then.
const ended = `
trap - EXIT
kill $(jobs -p) 2>/dev/null || true
wait
`

// runsAsWritten runs the commands of a page, one after the other, and looks for what they
// are to print.
func runsAsWritten(t *testing.T, name string, wants ...string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(t.TempDir(), "page")
	text := "set -eu -o pipefail\n" + shellBlocks(string(page)) + ended
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(realparts.Binary(t, "simroot"))+":"+os.Getenv("PATH"))
	p := realparts.StartCmd(t, cmd)
	if code := p.Wait(); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, p.Output())
	}
	for _, want := range wants {
		if !strings.Contains(p.Output(), want) {
			t.Errorf("%s does not print %q", name, want)
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
