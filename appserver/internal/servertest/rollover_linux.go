package servertest

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

// Beside is a server that something keeps in step, as a test sees it.
type Beside struct {
	Enter   func(platformtest.SIM) error // nil if the SIM is let in
	Refused func(platformtest.SIM) bool  // its certificate is not accepted
	CRLs    string                       // the file with the revocation lists
}

// Rollover takes a server from one CA to the next and back: nobody good is refused at any time, and the
// revoked of both CAs are. Servers that check whole chains refuse every client of a CA whose list they lack.
func Rollover(t *testing.T, p *platformtest.Platform, server Beside) {
	t.Helper()
	p.Heartbeat(50 * time.Millisecond) // which tells of other CAs
	good := func(sims ...platformtest.SIM) {
		t.Helper()
		for _, sim := range sims {
			if err := server.Enter(sim); err != nil {
				t.Errorf("%s is refused: %v", sim.ICCID, err)
			}
		}
	}
	comesIn := func(sim platformtest.SIM, meanwhile ...platformtest.SIM) {
		t.Helper()
		realparts.WaitFor(t, sim.ICCID+" to come in", func() bool {
			good(meanwhile...)
			return server.Enter(sim) == nil
		})
	}
	lists := func(n int, meanwhile platformtest.SIM) {
		t.Helper()
		realparts.WaitFor(t, fmt.Sprintf("%d revocation lists", n), func() bool {
			good(meanwhile)
			crls, err := os.ReadFile(server.CRLs)
			return err == nil && bytes.Count(crls, []byte("BEGIN X509 CRL")) == n
		})
	}
	old, oldGoes := p.Provision(t, platformtest.ICCID(1)), p.Provision(t, platformtest.ICCID(2))
	comesIn(old)
	comesIn(oldGoes)

	next := platformtest.NewCA(t)
	p.Publish(next)
	lists(4, old) // of each CA and its root
	young, youngGoes := p.ProvisionBy(t, next, platformtest.ICCID(3)), p.ProvisionBy(t, next, platformtest.ICCID(4))
	comesIn(young, old)
	comesIn(youngGoes, old)
	good(old, oldGoes)

	for _, sim := range []platformtest.SIM{oldGoes, youngGoes} {
		p.SetCredential(sim.Credential, api.Revoked)
	}
	for _, sim := range []platformtest.SIM{oldGoes, youngGoes} {
		realparts.WaitFor(t, sim.ICCID+" to be refused", func() bool {
			good(old) // young ones too, once the process before a reload accepts no more
			return server.Refused(sim)
		})
	}
	good(old, young)

	p.Publish(nil) // the next CA is of no use any more
	lists(2, old)
	good(old)
}
