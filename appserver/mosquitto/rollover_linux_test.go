package mosquitto_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

func TestThroughARolloverOfTheCANobodyGoodIsRefusedAndTheRevokedOfBothCAsAre(t *testing.T) {
	r := newRig(t)
	r.Heartbeat(50 * time.Millisecond) // which tells of other CAs
	r.run(t)
	good := func(sims ...platformtest.SIM) {
		t.Helper()
		for _, sim := range sims {
			d, err := connect(r.byCertificate(sim))
			if err != nil {
				t.Errorf("%s: %v", sim.ICCID, err)
				continue
			}
			d.Disconnect(0)
		}
	}
	old, oldGoes := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	good(old, oldGoes)

	next := platformtest.NewCA(t)
	r.Publish(next)
	young, youngGoes := r.ProvisionBy(t, next, platformtest.ICCID(3)), r.ProvisionBy(t, next, platformtest.ICCID(4))
	for _, sim := range []platformtest.SIM{young, youngGoes} {
		eventually(t, sim.ICCID+" of the next CA comes in", func() error {
			good(old)
			d, err := connect(r.byCertificate(sim))
			if err == nil {
				d.Disconnect(0)
			}
			return err
		})
	}
	crls, err := os.ReadFile(r.in("crl.pem"))
	if err != nil || bytes.Count(crls, []byte("BEGIN X509 CRL")) != 4 {
		t.Errorf("crl.pem has not the lists of both CAs and their roots: %s %v", crls, err)
	}
	good(old, oldGoes, young, youngGoes)

	gone := map[string]*device{}
	for _, sim := range []platformtest.SIM{oldGoes, youngGoes} {
		gone[sim.ICCID] = in(t, r.byCertificate(sim))
		r.SetCredential(sim.Credential, api.Revoked)
	}
	for _, sim := range []platformtest.SIM{oldGoes, youngGoes} {
		gone[sim.ICCID].ended(t)
		out(t, r.byCertificate(sim))
	}
	good(old, young)
}
