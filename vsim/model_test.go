package vsim_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/model"
)

// took is how long the card kept a command, in the time of the test's bubble.
func took(t *testing.T, c *vsim.Card, command apdu.Command, want error) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := card.Do(t.Context(), c, command); !errors.Is(err, want) {
		t.Fatalf("INS %02X: %v, want %v", command.INS, err, want)
	}
	return time.Since(start)
}

// session sends what a client does to generate a key and sign with it, and returns how
// long key generation, signature and everything else took.
func session(t *testing.T, c *vsim.Card) (generate, sign, rest time.Duration) {
	t.Helper()
	rest += took(t, c, apdu.Command{INS: 0xA4, P1: 4, Data: iotsafe.AIDs[0]}, nil)
	generate = took(t, c, apdu.Command{CLA: 0x80, INS: 0xB9, Data: []byte{0x84, 1, 1}, Le: 256}, nil)
	rest += took(t, c, apdu.Command{CLA: 0x80, INS: 0x2A, P2: 1, Data: []byte{0x84, 1, 1, 0xA1, 1, 3, 0x91, 2, 0, 1, 0x92, 1, 4}}, nil)
	sign = took(t, c, apdu.Command{CLA: 0x80, INS: 0x2B, P1: 0x80, P2: 1, Data: append([]byte{0x9E, 32}, make([]byte, 32)...), Le: 256}, nil)
	rest += took(t, c, apdu.Command{CLA: 0x80, INS: 0x84, Le: 32}, nil)
	rest += took(t, c, apdu.Command{CLA: 0x80, INS: 0xB9, Data: []byte{0x84, 1, 0x77}}, apdu.NotFound)
	return generate, sign, rest
}

func TestCardTakesAsLongAsItsModelOnlyIfAskedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, m := range model.Models {
			if m.Timing == (model.Timing{}) {
				continue
			}
			s := newState(t, "common")
			s.Model = m.Name
			generate, sign, rest := session(t, vsim.NewMemory(s, vsim.WithTiming()))
			if generate != m.Timing.KeyGeneration || sign != m.Timing.Sign || rest != 0 {
				t.Errorf("%s: key generation %v, signature %v, everything else %v", m.Name, generate, sign, rest)
			}
			if generate, sign, rest := session(t, vsim.NewMemory(s)); generate+sign+rest != 0 {
				t.Errorf("%s took its time without being asked to", m.Name)
			}
		}
	})
}

func TestModelOfARunningCardMayBeAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newState(t, "common")
		s.Model = "j3r180"
		if generate, _, _ := session(t, vsim.NewMemory(s, vsim.WithModel("simome"), vsim.WithTiming())); generate != 868*time.Millisecond {
			t.Errorf("key generation took %v", generate)
		}
	})
}

// A card that can do little offers little, and says so.
func TestModelLimitsWhatTheAppletOffers(t *testing.T) {
	s := newState(t, "type2")
	s.Model = "sja5"
	c := vsim.NewMemory(s)
	if err := card.Select(t.Context(), c, 0, iotsafe.AIDs[0]); err != nil {
		t.Fatal(err)
	}
	b, err := card.Do(t.Context(), c, apdu.Command{CLA: 0x80, INS: 0xCB, Le: 68})
	if err != nil {
		t.Fatal(err)
	}
	info, err := iotsafe.ParseInfo(b)
	if err != nil {
		t.Fatal(err)
	}
	if !info.TypeII() || info.Functions&^iotsafe.KeyDerivation != 0 || info.Hashes&^iotsafe.SHA256 != 0 || info.Signatures != 0 || info.KeyAgreement != 0 {
		t.Errorf("the application information says %+v", info)
	}
	for _, ins := range []byte{0x2A, 0x2B, 0x2C, 0x2D, 0xB9, 0xCD, 0x46, 0x24, 0xD8} {
		if _, err := card.Do(t.Context(), c, apdu.Command{CLA: 0x80, INS: ins, Le: 256}); !errors.Is(err, apdu.InstructionNot) {
			t.Errorf("INS %02X: %v, want 6D00", ins, err)
		}
	}
}

func TestModelThatCannotCarryTheProfileIsRefused(t *testing.T) {
	s := newState(t, "common")
	s.Model = "sja5"
	file := filepath.Join(t.TempDir(), "test.sim")
	if _, err := vsim.Create(file, s); err == nil || !strings.Contains(err.Error(), "type2") {
		t.Errorf("%v: want an error that names the profile to use", err)
	}
	s.Model = ""
	c, err := vsim.Create(file, s)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := vsim.Open(file, vsim.WithModel("sja5")); err == nil {
		t.Error("opened as a card that cannot be")
	}
	if _, err := vsim.Open(file, vsim.WithModel("abacus")); err == nil || !strings.Contains(err.Error(), "median") {
		t.Errorf("unknown model: %v, want the known ones", err)
	}
	if c, err = vsim.Open(file, vsim.WithModel("J3R180")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
