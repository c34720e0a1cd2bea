package device

import (
	"errors"
	"fmt"
	"testing"

	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/vsim"
)

func opened(t *testing.T, sim *vsim.Card) *Device {
	t.Helper()
	d, err := New(t.Context(), fixture.NewSlot(sim))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// secrets is a Type II SIM with a secret of each of these labels.
func secrets(t *testing.T, labels ...string) *vsim.Card {
	t.Helper()
	profile := "type: 2\nsecrets:\n"
	for i, label := range labels {
		profile += fmt.Sprintf("- {id: \"%d\", label: %q, hex: \"%064d\"}\n", 21+i, label, i)
	}
	return fixture.NewSIM(t, profile)
}

func TestTheSIMNamesTheIdentityOfItsPSK(t *testing.T) {
	d := opened(t, secrets(t, "simroot A", "psk on trial:meter 2", "psk:meter 1"))
	s, err := d.Status(t.Context())
	if err != nil || s.PSK == nil || s.PSK.Key != "23" || s.PSK.Identity != "meter 1" {
		t.Fatalf("%+v, %v", s.PSK, err)
	}
	for given, want := range map[string]string{"": "meter 1", "another": "another"} {
		config, err := d.PSKConfig(t.Context(), given, "server.example")
		if err != nil || string(config.Identity) != want {
			t.Errorf("with %q the identity is %q, %v; want %q", given, config.Identity, err, want)
		}
	}
}

func TestASIMThatDoesNotNameItsIdentityNeedsItGiven(t *testing.T) {
	d := opened(t, secrets(t, "simroot A"))
	if _, err := d.PSKConfig(t.Context(), "", "server.example"); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("%v", err)
	}
	config, err := d.PSKConfig(t.Context(), "meter 1", "server.example")
	if err != nil || string(config.Identity) != "meter 1" {
		t.Errorf("%v", err)
	}
	if s, err := d.Status(t.Context()); err != nil || s.PSK == nil || s.PSK.Identity != "" {
		t.Errorf("%+v, %v", s.PSK, err)
	}
}

func TestASecretOnTrialIsNotUsed(t *testing.T) {
	d := opened(t, secrets(t, "psk on trial:meter 2"))
	if _, err := d.PSK(t.Context()); !errors.Is(err, ErrNoPSK) {
		t.Errorf("%v", err)
	}
}
