package laws

import (
	"context"
	"errors"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim"
)

// A campaign reaches a SIM at its next visit, though nothing else was due, and once.
func TestACampaignReachesASIMAtItsNextVisit(t *testing.T) {
	for name, kind := range tries {
		for _, renewal := range []api.CampaignKind{api.RotateAll, api.RenewAll} {
			if renewal == api.RenewAll && kind.kind == api.PSKType {
				continue
			}
			t.Run(name+", "+string(renewal), func(t *testing.T) {
				w := newWorld(t)
				w.fleet("things", api.Profile{Type: kind.kind, Renewal: kind.renewal})
				sim := vsim.NewMemory(w.sims("things", kind.profile, someICCID)[0])
				if _, err := w.onboard(sim); err != nil {
					t.Fatal(err)
				}
				first := w.active(someICCID)
				c, err := w.Admin.CreateCampaign(t.Context(), api.CampaignRequest{Fleet: "things", Kind: renewal})
				if err != nil {
					t.Fatal(err)
				}
				for _, changed := range []bool{true, false} {
					done, err := w.onboard(sim, device.WithTrial(func(context.Context, *device.Device) error { return nil }))
					if err != nil || done.Changed != changed {
						t.Fatalf("changed: %v, want %v; %v", done.Changed, changed, err)
					}
				}
				second := w.active(someICCID)
				if got := usable(t, w, sim, someICCID, 0); got.ID != second.ID || second.ID == first.ID {
					t.Errorf("the SIM uses %s, active is %s", got.ID, second.ID)
				}
				if sameSlot := first.Slot == second.Slot; sameSlot != (renewal == api.RenewAll) {
					t.Errorf("%s went from slot %d to %d", renewal, first.Slot, second.Slot)
				}
				if c, err = w.Admin.Campaign(t.Context(), c.ID); err != nil || c.Progress.Done != 1 || c.Progress.Remaining != 0 {
					t.Errorf("%+v, %v", c.Progress, err)
				}
			})
		}
	}
}

// A SIM whose new credential does not work stays with the one it has; the campaign tells why, gives up
// after a few visits, and tries again when it is told to.
func TestACampaignTellsWhyASIMFailsAndRetriesIt(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.fleet("things", api.Profile{Type: api.CertificateType})
	sim := vsim.NewMemory(w.sims("things", "common", someICCID)[0])
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	first := w.active(someICCID)
	c, err := w.Admin.CreateCampaign(ctx, api.CampaignRequest{Fleet: "things", Kind: api.RotateAll})
	if err != nil {
		t.Fatal(err)
	}
	for range api.CampaignAttempts {
		_, err := w.onboard(sim, device.WithTrial(func(context.Context, *device.Device) error { return errors.New("unreachable") }))
		if !errors.Is(err, device.ErrTrial) {
			t.Fatal(err)
		}
	}
	for s, err := range w.Admin.CampaignSIMs(ctx, c.ID, api.SIMFailed) {
		if err != nil || s.ICCID != someICCID || s.Attempts != api.CampaignAttempts || s.Problem == "" {
			t.Errorf("%+v, %v", s, err)
		}
	}
	if got := usable(t, w, sim, someICCID, 0); got.ID != first.ID {
		t.Errorf("the SIM uses %s", got.ID)
	}
	if c, err = w.Admin.ChangeCampaign(ctx, c.ID, api.CampaignRetry, api.Change{}); err != nil || c.Progress.Failed != 0 || c.Progress.Remaining != 1 {
		t.Fatalf("%+v, %v", c.Progress, err)
	}
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	if c, err = w.Admin.Campaign(ctx, c.ID); err != nil || c.Progress.Done != 1 {
		t.Errorf("%+v, %v", c.Progress, err)
	}
}
