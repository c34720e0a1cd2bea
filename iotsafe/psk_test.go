package iotsafe

import (
	"strings"
	"testing"
)

func TestALabelNamesTheIdentityOfItsSecret(t *testing.T) {
	for _, trial := range []bool{false, true} {
		for _, want := range []string{"m", "89882119900000000017.0123456789ab", strings.Repeat("x", MaxIdentity)} {
			label, err := PSKLabel(want, trial)
			if err != nil {
				t.Fatal(err)
			}
			o := Object{Kind: SecretKey, ID: "\x21", Label: label, KeyType: HMACSecret}
			if err := o.Check(); err != nil {
				t.Errorf("a card has no room for %q: %v", label, err)
			}
			if got, on := o.PSKIdentity(); got != want || on != trial {
				t.Errorf("%q names %q, on trial: %v", label, got, on)
			}
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", MaxIdentity+1)} {
		if _, err := PSKLabel(bad, false); err == nil {
			t.Errorf("an identity of %d bytes was taken", len(bad))
		}
	}
	for name, o := range map[string]Object{
		"a slot's name":      {Kind: SecretKey, Label: "simroot A"},
		"no label":           {Kind: SecretKey},
		"a key of no server": {Kind: PrivateKey, Label: "psk:m"},
	} {
		if got, _ := o.PSKIdentity(); got != "" {
			t.Errorf("%s names %q", name, got)
		}
	}
}
