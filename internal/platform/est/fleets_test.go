package est

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// change gives a fleet other settings for EST.
func (w world) change(t testing.TB, fleet string, change func(*api.EST)) {
	t.Helper()
	f, err := w.Registry.Fleet(t.Context(), fleet)
	if err != nil {
		t.Fatal(err)
	}
	change(f.Profile.EST)
	if _, err := w.Registry.UpdateFleet(t.Context(), "test", fleet, f); err != nil {
		t.Fatal(err)
	}
}

// keygen asks for a key for a new SIM of the fleet "devices".
func (w world) keygen(t testing.TB) error {
	t.Helper()
	_, _, err := w.ServerKeygen(t.Context(), Request{Fleet: "devices", CSR: csr(t, x509.CertificateRequest{}, newKey(t)),
		Connection: w.factory.device(pkix.Name{SerialNumber: w.SIM(t, "devices")})})
	return err
}

func TestWhatAFleetAllowsOrForbidsCountsAtOnce(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		fixture.Refused(t, w.keygen(t), api.CodeForbidden)
		w.change(t, "devices", func(e *api.EST) { e.ServerKeygen = true })
		for range 2 {
			if err := w.keygen(t); err != nil {
				t.Error(err)
			}
		}
		w.change(t, "devices", func(e *api.EST) { e.ServerKeygen = false })
	}
}

// overtaken is a life in which the fleet changes between the decision and the enrolment.
type overtaken struct {
	Life
	change func()
	times  int
}

func (o *overtaken) Enrol(ctx context.Context, e credential.Enrolment) (credential.Record, error) {
	if o.times > 0 {
		o.times--
		o.change()
	}
	return o.Life.Enrol(ctx, e)
}

func TestAFleetThatChangesMeanwhileIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	w.change(t, "devices", func(e *api.EST) { e.ServerKeygen = true })
	life := &overtaken{Life: w.Life}
	w.Service = New(w.Registry, life, w.CA, w.Now)

	life.times, life.change = 1, func() { w.change(t, "devices", func(e *api.EST) { e.RequireChannelBinding = true }) }
	if err := w.keygen(t); err == nil {
		t.Error("a certificate was given by a policy that has gone")
	} else {
		refusedFor(t, err, api.CodeBadRequest, "csr")
	}
	w.change(t, "devices", func(e *api.EST) { e.RequireChannelBinding = false })

	life.times, life.change = 1, func() { w.change(t, "devices", func(e *api.EST) { e.FactoryRoots += "\n" }) }
	if err := w.keygen(t); err != nil {
		t.Errorf("a change that allows as much: %v", err)
	}
	life.times = 10
	fixture.Refused(t, w.keygen(t), api.CodeConflict)
}
