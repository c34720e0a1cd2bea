package laws

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim/image"
)

// world is a rig for one test: whatever goes wrong in setting it up ends the test.
type world struct {
	*rig.Rig
	t testing.TB
}

func newWorld(t testing.TB) *world {
	t.Helper()
	r, err := rig.New(filepath.Join(t.TempDir(), "platform"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Errorf("the platform did not end well: %v", err)
		}
	})
	return &world{Rig: r, t: t}
}

// restart ends the platform and serves its data again.
func (w *world) restart() {
	w.t.Helper()
	if err := w.Stop(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Start(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) fleet(name string, p api.Profile) {
	w.t.Helper()
	if err := w.Fleet(w.t.Context(), name, p); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sims(fleet, profile string, iccids ...string) []image.State {
	w.t.Helper()
	states, err := w.SIMs(w.t.Context(), fleet, profile, iccids...)
	if err != nil {
		w.t.Fatal(err)
	}
	return states
}

// onboard switches a device with this card on, once.
func (w *world) onboard(c card.Conn, opts ...device.Option) (device.Onboarding, error) {
	d, err := device.New(w.t.Context(), c, opts...)
	if err != nil {
		return device.Onboarding{}, err
	}
	defer d.Applet().Close(context.WithoutCancel(w.t.Context())) // a SIM has few channels
	return d.Onboard(w.t.Context(), w.Agent)
}

// credentials are all credentials of a SIM.
func (w *world) credentials(iccid string) []api.Credential {
	w.t.Helper()
	var all []api.Credential
	for c, err := range w.Admin.Credentials(w.t.Context(), api.CredentialFilter{ICCID: iccid}) {
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// active is the one active credential of a SIM; having none or two, or an unfinished one
// beside it, breaks the law.
func (w *world) active(iccid string) api.Credential {
	w.t.Helper()
	var active []api.Credential
	for _, c := range w.credentials(iccid) {
		switch {
		case c.State == api.Active:
			active = append(active, c)
		case !c.State.Final():
			w.t.Errorf("SIM %s has an unfinished credential, %s", iccid, c.State)
		}
	}
	if len(active) != 1 {
		w.t.Fatalf("SIM %s has %d active credentials, want one", iccid, len(active))
	}
	return active[0]
}
