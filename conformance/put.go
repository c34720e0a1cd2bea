package conformance

import (
	"bytes"
	"crypto/elliptic"
	"math/big"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// anyFunction fits every key that has a function at all.
const anyFunction = iotsafe.Signing | iotsafe.KeyAgreement

func putInit(session byte, o iotsafe.Object) message {
	return command(insPutInit, p1Open, session, id(o))
}

func putUpdate(session byte, data []byte) message {
	return command(insPutUpdate, p1Last, session, data)
}

// badPoint is public key data that a card has to refuse.
type badPoint struct {
	what string
	data []byte
}

// badPoints are made from a good point: what is no point of P-256, and what is no public
// key data.
func badPoints(good []byte) []badPoint {
	x, y := good[1:33], good[33:65]
	p := elliptic.P256().Params().P.Bytes()
	flipped := bytes.Clone(good)
	flipped[64] ^= 0x01
	beyond := new(big.Int).Add(new(big.Int).SetBytes(x), elliptic.P256().Params().P)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	bad := []badPoint{
		{"a point off the curve", keyData(flipped)},
		{"the point 0, 0", keyData(append([]byte{0x04}, make([]byte, 64)...))},
		{"an x equal to the prime", keyData(join([]byte{0x04}, p, y))},
		{"a y equal to the prime", keyData(join([]byte{0x04}, x, p))},
		{"coordinates exchanged", keyData(join([]byte{0x04}, y, x))},
		{"the point at infinity", keyData([]byte{0x00})},
		{"a compressed point", keyData(join([]byte{0x02 | y[31]&1}, x))},
		{"a hybrid point", keyData(join([]byte{0x06 | y[31]&1}, x, y))},
		{"a first byte of 05", keyData(join([]byte{0x05}, x, y))},
		{"a point of 64 bytes", keyData(good[:64])},
		{"a point of 66 bytes", keyData(append(bytes.Clone(good), 0))},
		{"an empty point", keyData(nil)},
		{"no template", field(iotsafe.TagPublicKey, field(0x86, good...)...)},
		{"another tag than 34", field(0x35, field(0x49, field(0x86, good...)...)...)},
		{"data cut short", keyData(good)[:40]},
		{"no data", nil},
	}
	if beyond.BitLen() <= 256 { // an x + p that still fits 32 bytes
		bad = append(bad, badPoint{"an x beyond the prime", keyData(join([]byte{0x04}, beyond.FillBytes(make([]byte, 32)), y))})
	}
	return bad
}

var putTests = []Test{
	{
		ID: "3.10-put", Chapter: "3.10", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "A public key is put with INIT and one UPDATE, both answering 9000 without data",
		run: func(s *Session) {
			o := s.peer(anyFunction)
			for _, c := range []message{putInit(0, o), putUpdate(0, keyData(pointOf(&newKey().PublicKey)))} {
				if data := s.ok(c); len(data) > 0 {
					s.fail("%s answered %d bytes", c.name(), len(data))
				}
			}
		},
	},
	{
		ID: "3.10-active", Chapter: "3.10, 2.2", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "A public key that was put is activated",
		run: func(s *Session) {
			o := s.peer(anyFunction)
			s.put(o, &newKey().PublicKey)
			s.listed = nil
			if now, ok := s.find(o.Kind, func(x iotsafe.Object) bool { return x.ID == o.ID }); !ok || !now.Active {
				s.fail("public key %s is not activated", o.ID)
			}
		},
	},
	{
		ID: "3.10-read-back", Chapter: "3.10, 3.9", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "A public key that was put and may be read is the same",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "P-256 public key that a device may put and read",
				func(o iotsafe.Object) bool { return updateable(o) && readable(o) && p256(o) })
			for range 2 {
				key := &newKey().PublicKey
				s.put(o, key)
				if !s.readKey(o).Equal(key) {
					s.fail("READ PUBLIC KEY answers another key")
				}
			}
		},
	},
	{
		ID: "3.10-label", Chapter: "3.10, 8 (11)", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "PUT PUBLIC KEY can name the key by its label",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "P-256 public key with a label of its own that a device may put",
				func(o iotsafe.Object) bool { return updateable(o) && p256(o) && o.Label != "" && s.bearers(o) == 1 })
			s.ok(command(insPutInit, p1Open, 0, label(o)))
			s.ok(putUpdate(0, keyData(pointOf(&newKey().PublicKey))))
		},
	},
	{
		ID: "3.10-bad-points", Chapter: "3.10, 3.12, 3.18", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "PUT PUBLIC KEY refuses what is no point of P-256 in the form of the interface",
		run: func(s *Session) {
			o := s.peer(anyFunction)
			for _, bad := range badPoints(pointOf(&newKey().PublicKey)) {
				s.ok(putInit(0, o))
				s.isRefusal("PUT PUBLIC KEY UPDATE with "+bad.what, s.do(putUpdate(0, bad.data)), malformed...)
			}
			s.put(o, &newKey().PublicKey)
		},
	},
	{
		ID: "3.10-unknown", Chapter: "3.10, 3.18", Needs: []Need{TypeI, PutPublicKey},
		Title: "PUT PUBLIC KEY INIT for a key that is not there answers 6A82",
		run: func(s *Session) {
			for _, n := range []int{1, 20} {
				s.refused(command(insPutInit, p1Open, 0, s.unknown(iotsafe.PublicKey, n)), apdu.NotFound)
			}
		},
	},
	{
		ID: "3.10-no-right", Chapter: "3.10, 8 (17)", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "A public key without the right to update cannot be put: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "P-256 public key without the right to update (tag 60 bit 02)",
				func(o iotsafe.Object) bool { return p256(o) && !updateable(o) })
			r := s.do(putInit(0, o))
			if r.SW.Succeeded() { // some cards look at the right only when the key comes
				r = s.do(putUpdate(0, keyData(pointOf(&newKey().PublicKey))))
			}
			s.isRefusal("PUT PUBLIC KEY", r, apdu.ConditionsNot)
		},
	},
	{
		ID: "3.10-no-init", Chapter: "3.10, 3.17, 8 (13)", Needs: []Need{TypeI, PutPublicKey},
		Title: "PUT PUBLIC KEY UPDATE without INIT answers 6985",
		run: func(s *Session) {
			s.refused(putUpdate(0, keyData(pointOf(&newKey().PublicKey))), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.10-other-session", Chapter: "3.10, 3.17, 8 (13)", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "PUT PUBLIC KEY UPDATE in another session than INIT answers 6985",
		run: func(s *Session) {
			s.ok(putInit(1, s.peer(anyFunction)))
			s.refused(putUpdate(2, keyData(pointOf(&newKey().PublicKey))), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.10-ends", Chapter: "3.10, 5.1 (8)", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "The last PUT PUBLIC KEY UPDATE ends the session: a replayed one answers 6985",
		run: func(s *Session) {
			s.ok(putInit(0, s.peer(anyFunction)))
			update := putUpdate(0, keyData(pointOf(&newKey().PublicKey)))
			s.ok(update)
			s.refused(update, apdu.ConditionsNot)
		},
	},
	{
		ID: "3.10-close", Chapter: "3.10, 5.1 (8)", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "A closed PUT PUBLIC KEY session takes no UPDATE; closing an idle one is harmless",
		run: func(s *Session) {
			s.ok(command(insPutInit, p1Close, 0))
			s.ok(putInit(0, s.peer(anyFunction)))
			s.ok(command(insPutInit, p1Close, 0))
			s.refused(putUpdate(0, keyData(pointOf(&newKey().PublicKey))), apdu.ConditionsNot)
			s.ok(command(insPutInit, p1Close, 0))
		},
	},
	{
		ID: "3.10-select", Chapter: "3.17, 5.1 (8)", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "SELECT ends a PUT PUBLIC KEY session",
		run: func(s *Session) {
			s.ok(putInit(0, s.peer(anyFunction)))
			s.exchange(s.selectBy(s.aid))
			s.refused(putUpdate(0, keyData(pointOf(&newKey().PublicKey))), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.10-parameters", Chapter: "3.10, 3.18", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "PUT PUBLIC KEY with another P1 than the interface knows answers 6A86",
		run: func(s *Session) {
			o := s.peer(anyFunction)
			for _, p1 := range wrongParameters(p1Open, p1Close) {
				s.refused(command(insPutInit, p1, 0, id(o)), apdu.WrongP1P2)
			}
			for _, p1 := range wrongParameters(p1More, p1Last) {
				s.ok(putInit(0, o))
				s.refused(command(insPutUpdate, p1, 0, keyData(pointOf(&newKey().PublicKey))), apdu.WrongP1P2)
			}
		},
	},
}
