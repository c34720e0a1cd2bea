package laws

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/internal/issuer"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// forger is a card that holds the SIM's SCP03 keys, hence is genuine to the platform, and
// whose applet lies about the key it was told to make.
type forger struct {
	iccid   card.ICCID
	keys    scp03.Keys
	version byte
	domain  []byte
	forge   func(challenge [perso.ChallengeSize]byte, iccid [10]byte) perso.KeyAnswer

	session *scp03.Card
}

func (f *forger) Close() error { return nil }

func (f *forger) Transmit(_ context.Context, b []byte) ([]byte, error) {
	c, err := apdu.Parse(b)
	if err != nil {
		return apdu.Response{SW: apdu.WrongLength}.Bytes(), nil
	}
	return f.process(c).Bytes(), nil
}

func (f *forger) process(c apdu.Command) apdu.Response {
	ok := apdu.Response{SW: apdu.OK}
	switch c.INS {
	case 0x70: // MANAGE CHANNEL
		if c.P1 == 0 {
			ok.Data = []byte{1}
		}
		return ok
	case 0xA4:
		return ok
	case 0xB0:
		file := f.iccid.File()
		return apdu.Response{Data: file[:], SW: apdu.OK}
	case 0x50:
		session, answer, err := scp03.NewCard(f.keys, scp03.Identity{KeyVersion: f.version, AID: f.domain}, 1, [8]byte(c.Data))
		if err != nil {
			return apdu.Response{SW: apdu.Unknown}
		}
		f.session = session
		return apdu.Response{Data: answer, SW: apdu.OK}
	case 0x82:
		return apdu.Response{SW: f.session.Authenticate(c)}
	}
	plain, sw := f.session.Unwrap(c)
	if sw != apdu.OK {
		return apdu.Response{SW: sw}
	}
	return f.session.Wrap(f.personalize(plain))
}

func (f *forger) personalize(c apdu.Command) apdu.Response {
	if c.INS == 0xE6 {
		return apdu.Response{Data: []byte{0}, SW: apdu.OK}
	}
	ops, err := perso.Parse(c.Data)
	if err != nil {
		return apdu.Response{SW: apdu.WrongData}
	}
	var answers []perso.Answer
	for _, op := range ops {
		switch op := op.(type) {
		case perso.ReadState:
			answers = append(answers, perso.StateAnswer{})
		case perso.Generate:
			answers = append(answers, f.forge(op.Challenge, f.iccid.File()))
		}
	}
	data, err := perso.EncodeAnswers(answers...)
	if err != nil {
		return apdu.Response{SW: apdu.Unknown}
	}
	return apdu.Response{Data: data, SW: apdu.OK}
}

// A card that holds the right SCP03 keys and lies about its key pair gets no certificate.
func TestAForgedKeyIsNotCertified(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := iotsafe.AppendPublicKey(nil, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	prove := func(challenge [32]byte, iccid [10]byte) []byte {
		digest := perso.ProofDigest(challenge, iccid, point)
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signature
	}
	for name, forge := range map[string]func([32]byte, [10]byte) perso.KeyAnswer{
		"public key off the curve": func(c [32]byte, i [10]byte) perso.KeyAnswer {
			off := append([]byte(nil), encoded...)
			off[len(off)-1] ^= 1
			return perso.KeyAnswer{PublicKey: off, Proof: prove(c, i)}
		},
		"point at infinity": func(c [32]byte, i [10]byte) perso.KeyAnswer {
			return perso.KeyAnswer{PublicKey: append(append([]byte(nil), encoded[:7]...), make([]byte, 64)...), Proof: prove(c, i)}
		},
		"proof over another challenge": func(c [32]byte, i [10]byte) perso.KeyAnswer {
			c[0] ^= 1
			return perso.KeyAnswer{PublicKey: encoded, Proof: prove(c, i)}
		},
		"proof for another SIM": func(c [32]byte, i [10]byte) perso.KeyAnswer {
			i[0] ^= 1
			return perso.KeyAnswer{PublicKey: encoded, Proof: prove(c, i)}
		},
		"no proof": func([32]byte, [10]byte) perso.KeyAnswer {
			return perso.KeyAnswer{PublicKey: encoded, Proof: make([]byte, 64)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.fleet("meters", api.Profile{})
			const iccid = "89882119900000000017"
			entry := issuer.BatchEntry(w.sims("meters", "common", iccid)[0])
			liar := &forger{
				iccid: iccid, forge: forge, domain: entry.Domain, version: entry.KeyVersion,
				keys: scp03.Keys{ENC: entry.ENC, MAC: entry.MAC, DEK: entry.DEK},
			}
			_, err := w.onboard(liar)
			if !api.HasCode(err, api.CodeCardMisbehaved) {
				t.Fatalf("want a refusal %s, got: %v", api.CodeCardMisbehaved, err)
			}
			for _, c := range w.credentials(iccid) {
				if c.State != api.Requested {
					t.Errorf("the forger has a credential that is %s", c.State)
				}
			}
		})
	}
}
