package device

import (
	"crypto"
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

func TestThePSKIsLookedForOnceUntilTheSIMRefusesIt(t *testing.T) {
	sim := &watchedCard{Card: secrets(t, "psk:meter 1")}
	d := sim.open(t)
	lists := func() int {
		t.Helper()
		if _, err := d.PSKConfig(t.Context(), "", ""); err != nil {
			t.Fatal(err)
		}
		return sim.sent(0xCB)
	}
	if first, second := lists(), lists(); first == 0 || second != first {
		t.Errorf("the object list was read with %d commands, and then with %d more", first, second-first)
	}
	key, err := d.PSK(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Another program has had the SIM given another one, of which no notice came here.
	sim.Card = fixture.NewSIM(t, "type: 2\nsecrets:\n- {id: \"22\", label: \"psk:meter 2\", hex: \"00112233445566778899AABBCCDDEEFF\"}\n")
	if _, err := New(t.Context(), sim); err != nil { // selects the applet on the channel that the device uses
		t.Fatal(err)
	}
	if _, err := key.MasterSecret(t.Context(), crypto.SHA256, nil, "label", make([]byte, 64)); err == nil {
		t.Fatal("a secret that is not there was derived from")
	}
	if config, err := d.PSKConfig(t.Context(), "", ""); err != nil || string(config.Identity) != "meter 2" {
		t.Errorf("%+v, %v", config, err)
	}
}

func TestASecretOnTrialIsNotUsed(t *testing.T) {
	d := opened(t, secrets(t, "psk on trial:meter 2"))
	if _, err := d.PSK(t.Context()); !errors.Is(err, ErrNoPSK) {
		t.Errorf("%v", err)
	}
}
