package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/device/doctor"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

// The doctor examines the whole chain on real parts: a SIM in a modem, a platform, Mosquitto.
// What it finds changes with what happens to the SIM.
func TestTheDoctorExaminesTheWholeChainOnRealParts(t *testing.T) {
	p := &path{t: t, dir: t.TempDir(), sims: map[string]string{}}
	p.startPlatform()
	p.makeSIMs()
	p.start("card", "run", p.sims[inReader], "--modem", p.in("tty"), "--personality", "echo").WaitLog("is in the modem")
	modem := "modem:" + p.in("tty") + "?lock=" + p.dir
	p.startBroker()
	examine := func(want int) doctor.Report {
		t.Helper()
		c := p.start(with(p.platform, "device", "doctor", "--card", modem, "--server", p.broker, "--json")...)
		code := c.Wait()
		text, _, _ := strings.Cut(c.Output(), "simroot: the chain is broken")
		var r doctor.Report
		if err := json.Unmarshal([]byte(text), &r); err != nil || code != want || r.Good != (want == 0) {
			t.Fatalf("exit code %d, want %d, %v:\n%s", code, want, err, c.Output())
		}
		return r
	}

	if b := examine(1).Broken(); b.Link != "certificate" || !strings.Contains(b.Means, "not onboarded yet") {
		t.Errorf("before the onboarding: %+v", b)
	}
	p.simroot(with(p.platform, "device", "onboard", "--card", modem)...)
	// The broker hears of the credential a moment after the SIM has it.
	realparts.WaitFor(t, "the broker to let the SIM in", func() bool {
		c := p.start("device", "doctor", "--card", modem, "--server", p.broker)
		return c.Wait() == 0
	})
	good := examine(0)
	if slices.ContainsFunc(good.Links, func(f doctor.Finding) bool { return f.State != doctor.Good || f.Saw == "" }) {
		t.Errorf("after the onboarding: %+v", good)
	}
	if last := good.Links[len(good.Links)-1]; last.Link != "handshake" || !strings.Contains(last.Saw, "TLS 1.3") || strings.Contains(last.Saw, "did not ask") {
		t.Errorf("the handshake is %+v", last)
	}

	p.simroot(with(p.admin, "platform", "sims", "revoke", inReader, "--reason", "privilegeWithdrawn")...)
	realparts.WaitFor(t, "the broker to refuse the SIM", func() bool {
		c := p.start("device", "doctor", "--card", modem, "--server", p.broker)
		return c.Wait() == 1
	})
	if b := examine(1).Broken(); b.Link != "handshake" || !strings.Contains(b.Means, "was revoked") {
		t.Errorf("after the revocation: %+v", b)
	}
}
