package laws

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
)

// A renewal gives the SIM's key another certificate, in the same place.
func TestARenewalKeepsTheKeyOfTheSIM(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", alwaysDue(api.CertificateType, api.Renew))
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	for range 3 {
		if _, err := w.onboard(sim); err != nil {
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

// A renewal that is revoked before the SIM has it for good leaves no certificate in front of the one
// that is in use.
func TestARenewalThatIsRevokedOnItsWayIsClearedAway(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.fleet("meters", api.Profile{AllowReenrolment: true})
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	first := w.active(someICCID)
	c, err := w.Admin.CreateCampaign(ctx, api.CampaignRequest{Fleet: "meters", Kind: api.RenewAll})
	if err != nil {
		t.Fatal(err)
	}
	spare := iotsafe.ID("\x12")
	for n := 10; !fileInUse(t, sim, spare); n++ {
		if n > 100 {
			t.Fatal("the renewed certificate never stands beside the one in use")
		}
		if _, err := w.onboard(&cuttingCard{Card: sim, left: n, delivered: true}); !errors.Is(err, errCut) {
			t.Fatalf("cut at APDU %d: %v", n, err)
		}
		sim.Reset()
	}
	for _, c := range w.credentials(someICCID) {
		if c.State == api.Delivered {
			if _, err := w.Admin.RevokeCredential(ctx, c.ID, api.Change{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := w.Admin.ChangeCampaign(ctx, c.ID, api.CampaignAbort, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if done, err := w.onboard(sim); err != nil || done.Changed {
		t.Fatal(done, err)
	}
	if got := usable(t, w, sim, someICCID, 0); got.ID != first.ID || fileInUse(t, sim, spare) {
		t.Errorf("the SIM uses %s, want %s", got.ID, first.ID)
	}
}

// fileInUse tells whether a file of the SIM is there and activated.
func fileInUse(t *testing.T, sim *vsim.Card, id iotsafe.ID) bool {
	t.Helper()
	applet, err := iotsafe.Select(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	defer applet.Close(t.Context()) // a SIM has few channels
	objects, err := applet.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(objects, func(o iotsafe.Object) bool { return o.Kind == iotsafe.File && o.ID == id && o.Active })
}

// A key is certified for as long as its fleet allows; then the SIM makes a new one.
func TestAnOldKeyIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	p := alwaysDue(api.CertificateType, api.Renew)
	p.KeyAge = p.Lifetime
	w.fleet("meters", p)
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	for n := range 3 {
		if _, err := w.onboard(sim); err != nil {
			t.Fatal(err)
		}
		if active := w.active(someICCID); active.Slot != n%2 || usable(t, w, sim, someICCID, 0).ID != active.ID {
			t.Errorf("the %dth credential is in slot %d: it has the key of the one before", n+1, active.Slot)
		}
		if n == 0 { // a campaign changes nothing about that
			if _, err := w.Admin.CreateCampaign(t.Context(), api.CampaignRequest{Fleet: "meters", Kind: api.RenewAll}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A SIM that has lost the key cannot renew it, and is given a new one.
func TestALostKeyIsNotRenewed(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", alwaysDue(api.CertificateType, api.Renew))
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
			w.fleet("south", api.Profile{Type: kind.kind, Renewal: kind.renewal, CheckIn: api.Duration(time.Hour)})
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
