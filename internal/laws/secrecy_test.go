package laws

import (
	"bytes"
	"context"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/vsim"
)

// listeningCard remembers all that passes through the agent's hands.
type listeningCard struct {
	*vsim.Card
	heard [][]byte
}

func (c *listeningCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.heard = append(c.heard, bytes.Clone(command))
	answer, err := c.Card.Transmit(ctx, command)
	c.heard = append(c.heard, bytes.Clone(answer))
	return answer, err
}

// The relay never sees a personalisation command in clear: behind EXTERNAL AUTHENTICATE
// everything is under secure messaging, and nothing that is written to the SIM, or read
// from it, shows.
func TestTheRelaySeesOnlySealedCommands(t *testing.T) {
	for profile, kind := range map[string]api.CredentialType{"common": api.CertificateType, "type2": api.PSKType} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			w.fleet("fleet", api.Profile{Type: kind})
			const iccid = "89882119900000000017"
			card := &listeningCard{Card: vsim.NewMemory(w.sims("fleet", profile, iccid)[0])}
			done, err := w.onboard(card)
			if err != nil {
				t.Fatal(err)
			}
			secrets := map[string][]byte{"a label": []byte("simroot A"), "the trust anchor's label": []byte("trust anchor")}
			if kind == api.CertificateType {
				secrets["the certificate"] = done.Credential.Certificate[40:72]
				secrets["the public key"] = done.Credential.Certificate[len(done.Credential.Certificate)/2:][:32]
			}
			sealed := 0
			begun := false
			for i, b := range card.heard {
				for name, secret := range secrets {
					if begun && bytes.Contains(b, secret) {
						t.Errorf("message %d of the onboarding shows %s", i, name)
					}
				}
				if i%2 == 1 {
					continue
				}
				switch ins := b[1]; ins {
				case 0x82:
					begun = true
				case 0xE6, 0xE2:
					if b[0]&0x0C == 0 {
						t.Errorf("command %02X went to the SIM without secure messaging", ins)
					}
					sealed++
				}
			}
			if sealed == 0 {
				t.Error("no personalisation was seen at all")
			}
		})
	}
}
