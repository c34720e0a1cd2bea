package model

import (
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
)

func TestEveryModelSaysWhatItIsAndWhoMeasuredIt(t *testing.T) {
	for _, m := range Models {
		if m.Name != strings.ToLower(m.Name) || m.Title == "" || m.Source == "" || m.Capabilities == nil {
			t.Errorf("%+v", m)
		}
		if got, err := Named(strings.ToUpper(m.Name)); err != nil || got.Name != m.Name {
			t.Errorf("%s: found %v, %v", m.Name, got, err)
		}
	}
	if _, err := Named("abacus"); err == nil || !strings.Contains(err.Error(), "j3r180") {
		t.Errorf("%v: want the known names", err)
	}
}

// The figures of the cards, in milliseconds: key generation, signature, verification, key
// agreement. Zero is not known.
func TestFiguresAreTheMeasuredOnes(t *testing.T) {
	for name, want := range map[string][4]float64{
		"j3r180":     {26.8, 32.0, 30.2, 20.0},
		"smartcafe7": {207, 52.3, 67.9, 63.7},
		"simome":     {868, 0, 0, 109},
		"sja5":       {},
		"median":     {156, 59, 66, 105},
	} {
		m, err := Named(name)
		if err != nil {
			t.Error(err)
			continue
		}
		for i, command := range [4][2]byte{{0xB9, 0}, {0x2B, 0x80}, {0x2D, 0x80}, {0x46, 0}} {
			got := m.Timing.Of(command[0], command[1])
			if want := time.Duration(want[i] * float64(time.Millisecond)); got != want {
				t.Errorf("%s takes %v for INS %02X: want %v", name, got, command[0], want)
			}
		}
		for _, command := range [][2]byte{{0x2A, 0}, {0x2B, 0}, {0x2D, 0}, {0xB0, 0}, {0xCB, 0}, {0x84, 0}} {
			if got := m.Timing.Of(command[0], command[1]); got != 0 {
				t.Errorf("%s takes %v for INS %02X %02X", name, got, command[0], command[1])
			}
		}
	}
}

func TestSIMWithoutCurvesCarriesSecretsOnly(t *testing.T) {
	sja5, err := Named("sja5")
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := applet.NewState(2, iotsafe.Object{Kind: iotsafe.SecretKey, ID: "\x21", KeyType: iotsafe.HMACSecret})
	if err != nil {
		t.Fatal(err)
	}
	if err := sja5.Carries(secrets); err != nil {
		t.Error(err)
	}
	keys, err := applet.NewState(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := sja5.Carries(keys); err == nil {
		t.Error("it carries an applet of Type I")
	}
	median, err := Named("median")
	if err != nil {
		t.Fatal(err)
	}
	rsa, err := applet.NewState(1, iotsafe.Object{Kind: iotsafe.PrivateKey, ID: "\x01", KeyType: iotsafe.RSA2048})
	if err != nil {
		t.Fatal(err)
	}
	if err := median.Carries(rsa); err == nil || !strings.Contains(err.Error(), "private key 01") {
		t.Errorf("%v: want an error that names the key", err)
	}
}
