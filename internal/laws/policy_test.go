package laws

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// A renewal gives the SIM's key another certificate, in the same place, and tries nothing.
func TestARenewalKeepsTheKeyOfTheSIM(t *testing.T) {
	w := newWorld(t)
	p := alwaysDue(api.CertificateType)
	p.Renewal = api.Renew
	w.fleet("meters", p)
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	for range 3 {
		if _, err := w.onboard(sim, device.WithTrial(func(context.Context, *device.Device) error { return errCut })); err != nil {
			t.Fatal(err)
		}
		if active := w.active(someICCID); active.Slot != 0 || usable(t, w, sim, someICCID, 0).ID != active.ID {
			t.Error("the SIM does not use the renewed certificate in the place of the one before")
		}
	}
	if all := w.credentials(someICCID); len(all) != 3 || bytes.Equal(all[0].Certificate, all[2].Certificate) {
		t.Errorf("%d credentials, want three of their own", len(all))
	}
}

// A SIM that has lost the key cannot renew it, and is given a new one.
func TestALostKeyIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	p := alwaysDue(api.CertificateType)
	p.Renewal = api.Renew
	w.fleet("meters", p)
	state := w.sims("meters", "common", someICCID)[0]
	for range 2 {
		sim := vsim.NewMemory(state) // as it came from the factory
		if _, err := w.onboard(sim); err != nil {
			t.Fatal(err)
		}
		if got := usable(t, w, sim, someICCID, 0); got.ID != w.active(someICCID).ID {
			t.Errorf("the SIM uses %s", got.ID)
		}
	}
}

// A SIM that was moved works on with what it holds, and gets a credential of its new fleet when it
// comes next, though nothing else was due.
func TestAMovedSIMGetsACredentialOfItsNewFleet(t *testing.T) {
	for name, kind := range tries {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fleet("north", api.Profile{Type: kind.kind})
			w.fleet("south", api.Profile{Type: kind.kind, CheckIn: api.Duration(time.Hour)})
			sim := vsim.NewMemory(w.sims("north", kind.profile, someICCID)[0])
			if _, err := w.onboard(sim); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Admin.MoveSIM(t.Context(), someICCID, api.Move{Fleet: "south"}); err != nil {
				t.Fatal(err)
			}
			if got := usable(t, w, sim, someICCID, 0); got.State != api.Active {
				t.Errorf("before it comes its credential is %s", got.State)
			}
			done, err := w.onboard(sim)
			if err != nil || !done.Changed || done.Credential.Fleet != "south" {
				t.Fatal(done, err)
			}
			if wait := time.Until(done.RenewAt); wait > time.Hour {
				t.Errorf("it comes again in %s: want its fleet's check-in of an hour", wait)
			}
			if done, err = w.onboard(sim); err != nil || done.Changed {
				t.Error(done, err)
			}
			w.active(someICCID)
		})
	}
}
