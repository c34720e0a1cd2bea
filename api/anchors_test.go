package api

import (
	"slices"
	"testing"

	"github.com/simroot/simroot/iotsafe"
)

func TestTheSecondAnchorTakesNoFileThatIsInUse(t *testing.T) {
	for _, c := range []struct {
		first, second, anchor iotsafe.ID
		want                  []iotsafe.ID
	}{
		{"\x02", "\x12", "\x03", []iotsafe.ID{"\x03", "\x13"}},
		{"\x03", "\x13", "\x04", []iotsafe.ID{"\x04", "\x14"}},
		{"\x13", "\x14", "\x15", []iotsafe.ID{"\x15", "\x16"}},
	} {
		p := Profile{Type: CertificateType, TrustAnchor: c.anchor, Slots: [2]Slot{
			{PrivateKey: "\x01", PublicKey: "\x01", Certificate: c.first}, {PrivateKey: "\x11", PublicKey: "\x11", Certificate: c.second},
		}}.WithDefaults()
		if got := p.AnchorFiles(); !slices.Equal(got, c.want) {
			t.Errorf("slots in %s and %s: anchors in %s, want %s", c.first, c.second, got, c.want)
		}
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
}
