package laws

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
)

const someICCID = "89882119900000000017"

// A SIM that no batch has named is refused.
func TestAnUnknownSIMIsRefused(t *testing.T) {
	w := newWorld(t)
	state, err := vsim.Profile("common", someICCID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.onboard(vsim.NewMemory(state)); !api.HasCode(err, api.CodeUnknownSIM) {
		t.Fatalf("want a refusal %s, got: %v", api.CodeUnknownSIM, err)
	}
}

// A card with the ICCID of an imported SIM and other keys is refused, the real SIM is not.
func TestACardWithOtherKeysIsRefused(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	genuine := w.sims("meters", "common", someICCID)[0]
	clone, err := vsim.Profile("common", someICCID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.onboard(vsim.NewMemory(clone)); !api.HasCode(err, api.CodeCardNotGenuine) {
		t.Fatalf("want a refusal %s, got: %v", api.CodeCardNotGenuine, err)
	}
	if sim, err := w.Admin.SIM(t.Context(), someICCID); err != nil || sim.State != api.Imported {
		t.Errorf("the SIM is %s after a stranger's attempt (%v), want %s", sim.State, err, api.Imported)
	}
	if _, err := w.onboard(vsim.NewMemory(genuine)); err != nil {
		t.Fatal(err)
	}
}

// noApplet is a card that knows nothing of IoT SAFE.
type noApplet struct{ *vsim.Card }

func (c noApplet) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) > 4 && command[1] == 0xA4 && command[2] == 0x04 {
		return []byte{0x6A, 0x82}, nil
	}
	return c.Card.Transmit(ctx, command)
}

// A card without the applet is told as such, in one clear error.
func TestACardWithoutTheAppletIsRefused(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	card := noApplet{vsim.NewMemory(w.sims("meters", "common", someICCID)[0])}
	if _, err := w.onboard(card); !errors.Is(err, iotsafe.ErrNoApplet) {
		t.Fatalf("want %v, got: %v", iotsafe.ErrNoApplet, err)
	}
}

// Two onboardings of one SIM at once end with one credential; what fails says why.
func TestTwoOnboardingsAtOnceGiveOneCredential(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	d, err := device.New(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() { _, errs[i] = d.Onboard(t.Context(), w.Agent) })
	}
	wg.Wait()
	for _, err := range errs {
		var refusal *api.Error
		if err != nil && !errors.As(err, &refusal) {
			t.Errorf("an onboarding failed without a refusal: %v", err)
		}
		if refusal != nil && refusal.Status >= 500 {
			t.Errorf("an onboarding failed inside the platform: %v", err)
		}
	}
	if _, err := d.Onboard(t.Context(), w.Agent); err != nil {
		t.Fatalf("an onboarding alone, afterwards: %v", err)
	}
	w.active(someICCID)
}

// A suspended SIM is not onboarded, a resumed one is.
func TestASuspendedSIMIsNotOnboarded(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Admin.SuspendSIM(t.Context(), someICCID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.onboard(sim); !api.HasCode(err, api.CodeSIMSuspended) {
		t.Fatalf("want a refusal %s, got: %v", api.CodeSIMSuspended, err)
	}
	if _, err := w.Admin.ResumeSIM(t.Context(), someICCID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if done, err := w.onboard(sim); err != nil || done.Changed {
		t.Fatalf("after the suspension: changed %v, %v", done.Changed, err)
	}
}

// A platform that restarts in the middle of an onboarding says that the session is gone,
// and the next one goes on from what the SIM holds.
func TestAPlatformRestartInTheMiddle(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	sim := vsim.NewMemory(w.sims("meters", "common", someICCID)[0])
	for left := 4; left < 16; left += 4 {
		if _, err := w.onboard(&cuttingCard{Card: sim, left: left}); !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		sim.Reset()
		w.restart()
	}
	if _, err := w.onboard(sim); err != nil {
		t.Fatal(err)
	}
	w.active(someICCID)
}
