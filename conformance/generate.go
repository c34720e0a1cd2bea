package conformance

import (
	"bytes"
	"crypto/sha256"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// generablePair is a pair of containers in which the device may make a key pair.
func (s *Session) generablePair(has func(private iotsafe.Object) bool) (private, public iotsafe.Object) {
	for _, private := range s.objects() {
		if private.Kind != iotsafe.PrivateKey || !has(private) {
			continue
		}
		if public, ok := s.publicHalf(private); ok && generable(private, public) {
			return private, public
		}
	}
	s.skip("the card has no such P-256 key pair that a device may generate")
	return private, public
}

func anyKey(iotsafe.Object) bool { return true }

func generateCommand(name []byte) message { return command(insGenerate, 0, 0, name) }

var generateTests = []Test{
	{
		ID: "3.8-answer", Chapter: "3.8, 5.1 (12)", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "GENERATE KEY PAIR answers 84 (private ID), 85 (public ID), 34 (public key), in this order and nothing else",
		run: func(s *Session) {
			private, _ := s.generablePair(anyKey)
			s.generate(private)
		},
	},
	{
		ID: "3.8-identifiers", Chapter: "3.8", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "The identifiers that GENERATE KEY PAIR answers are those in the list afterwards",
		run: func(s *Session) {
			private, public := s.generablePair(anyKey)
			g := s.generate(private)
			s.listed = nil
			if !s.hasID(iotsafe.PrivateKey, iotsafe.ID(g.private)) || !s.hasID(iotsafe.PublicKey, iotsafe.ID(g.public)) {
				s.fail("it answered % X and % X, which are not in the list", g.private, g.public)
			}
			if o, ok := s.find(iotsafe.PublicKey, func(o iotsafe.Object) bool { return string(o.ID) == string(g.public) }); ok && o.Label != public.Label {
				s.fail("the public key that it names has another label")
			}
		},
	},
	{
		ID: "3.8-fresh", Chapter: "3.8", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "Each GENERATE KEY PAIR makes another key",
		run: func(s *Session) {
			private, _ := s.generablePair(anyKey)
			if first, second := s.generate(private), s.generate(private); first.key.Equal(second.key) {
				s.fail("the same public key came twice")
			}
		},
	},
	{
		ID: "3.8-read-back", Chapter: "3.8, 3.9", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "READ PUBLIC KEY answers the key just generated",
		run: func(s *Session) {
			private, public := s.generablePair(anyKey)
			if !s.generate(private).key.Equal(s.readKey(public)) {
				s.fail("READ PUBLIC KEY answers another key")
			}
		},
	},
	{
		ID: "3.8-active", Chapter: "3.8, 2.2", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "Both halves of a generated pair are activated",
		run: func(s *Session) {
			private, public := s.generablePair(anyKey)
			s.generate(private)
			s.listed = nil
			for _, o := range []iotsafe.Object{private, public} {
				if now, ok := s.find(o.Kind, func(x iotsafe.Object) bool { return x.ID == o.ID }); ok && !now.Active {
					s.fail("%s %s is not activated", o.Kind, o.ID)
				}
			}
		},
	},
	{
		ID: "3.8-signs", Chapter: "3.8, 3.13", Needs: []Need{KeyGeneration, Signing}, Destructive: true,
		Title: "A generated key signs, and the key before it does not any more",
		run: func(s *Session) {
			private, _ := s.generablePair(func(o iotsafe.Object) bool {
				return o.Functions&iotsafe.Signing != 0 && o.Usage == iotsafe.General && o.Signatures&iotsafe.ECDSA != 0
			})
			old := s.generate(private).key
			key := s.generate(private).key
			digest := sha256.Sum256([]byte("a new key"))
			signature := s.sign(private, digest[:])
			if !verifies(key, digest[:], signature) {
				s.fail("the signature % X does not verify with the new public key", signature)
			}
			if verifies(old, digest[:], signature) {
				s.fail("the old key still signs")
			}
		},
	},
	{
		ID: "3.8-label", Chapter: "3.8", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "GENERATE KEY PAIR can name the private key by its label",
		run: func(s *Session) {
			private, _ := s.generablePair(func(o iotsafe.Object) bool { return o.Label != "" && s.bearers(o) == 1 })
			g := s.parseGenerated(s.ok(generateCommand(label(private))))
			if !bytes.Equal(g.private, []byte(private.ID)) {
				s.fail("it made key % X, not %s", g.private, private.ID)
			}
		},
	},
	{
		ID: "3.8-le", Chapter: "3.8, 3.2", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "GENERATE KEY PAIR with Le 00 answers at once, or through GET RESPONSE, the whole answer",
		run: func(s *Session) {
			private, _ := s.generablePair(anyKey)
			s.parseGenerated(s.ok(generateCommand(id(private)).le(apdu.MaxLe)))
		},
	},
	{
		ID: "3.8-unknown", Chapter: "3.8, 3.18", Needs: []Need{KeyGeneration},
		Title: "GENERATE KEY PAIR for a key that is not there answers 6A82",
		run: func(s *Session) {
			for _, n := range []int{1, 20} {
				s.refused(generateCommand(s.unknown(iotsafe.PrivateKey, n)), apdu.NotFound)
			}
		},
	},
	{
		ID: "3.8-malformed", Chapter: "3.8, 3.18", Needs: []Need{KeyGeneration},
		Title: "GENERATE KEY PAIR without a name, or with one that cannot be read, is refused as malformed",
		run: func(s *Session) {
			for _, data := range [][]byte{nil, {0x84}, {0x84, 0x00}, {0x84, 0x05, 0x01}, field(0x84, make([]byte, 21)...), s.unknown(iotsafe.PublicKey, 1)} {
				s.refused(command(insGenerate, 0, 0, data).le(apdu.MaxLe), malformed...)
			}
		},
	},
	{
		ID: "3.8-not-allowed", Chapter: "3.8, 2.2", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "A key without the key generation function is not generated: 6985",
		run: func(s *Session) {
			private := s.pick(iotsafe.PrivateKey, "private key without the key generation function",
				func(o iotsafe.Object) bool { return o.Functions&iotsafe.KeyGeneration == 0 })
			s.refused(generateCommand(id(private)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.8-in-session", Chapter: "3.8", Needs: []Need{KeyGeneration, Signing}, Destructive: true,
		Title: "A key in use in a session is not generated anew: 6985",
		run: func(s *Session) {
			private, _ := s.generablePair(func(o iotsafe.Object) bool {
				return o.Functions&iotsafe.Signing != 0 && o.Usage == iotsafe.General && o.Signatures&iotsafe.ECDSA != 0
			})
			s.generate(private)
			s.signInit(0, private, iotsafe.PadAndSign)
			s.refused(generateCommand(id(private)), apdu.ConditionsNot)
			s.ok(command(insSignInit, p1Close, 0))
			s.generate(private)
		},
	},
	{
		ID: "3.8-parameters", Chapter: "3.8, 3.18", Needs: []Need{KeyGeneration}, Destructive: true,
		Title: "GENERATE KEY PAIR with P1 or P2 other than 00 answers 6A86",
		run: func(s *Session) {
			private, _ := s.generablePair(anyKey)
			s.refusesParameters(generateCommand(id(private)))
		},
	},
}

var publicKeyTests = []Test{
	{
		ID: "3.9-form", Chapter: "3.9, 3.12", Needs: []Need{TypeI},
		Title: "READ PUBLIC KEY answers 34 45 49 43 86 41 and an uncompressed point of P-256",
		run: func(s *Session) {
			tried := false
			for _, o := range s.objects() {
				if o.Kind == iotsafe.PublicKey && o.Active && readable(o) && p256(o) {
					tried = true
					s.readKey(o)
				}
			}
			if !tried {
				s.skip("the card has no active P-256 public key that can be read")
			}
		},
	},
	{
		ID: "3.9-again", Chapter: "3.9", Needs: []Need{TypeI},
		Title: "READ PUBLIC KEY answers the same with Le 00, without Le and by label",
		run: func(s *Session) {
			o := s.readableKey()
			data := s.ok(command(insReadPublicKey, 0, 0, id(o)))
			s.same("the key with Le 00", s.ok(command(insReadPublicKey, 0, 0, id(o)).le(apdu.MaxLe)), data)
			if o.Label != "" && s.bearers(o) == 1 {
				s.same("the key by its label", s.ok(command(insReadPublicKey, 0, 0, label(o))), data)
			}
		},
	},
	{
		ID: "3.9-unknown", Chapter: "3.9, 3.18", Needs: []Need{TypeI},
		Title: "READ PUBLIC KEY of a key that is not there answers 6A82",
		run: func(s *Session) {
			for _, n := range []int{1, 20} {
				s.refused(command(insReadPublicKey, 0, 0, s.unknown(iotsafe.PublicKey, n)), apdu.NotFound)
			}
		},
	},
	{
		ID: "3.9-inactive", Chapter: "3.9, 2.2", Needs: []Need{TypeI},
		Title: "A public key that is not activated cannot be read: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "public key that is not activated", func(o iotsafe.Object) bool { return !o.Active })
			s.refused(command(insReadPublicKey, 0, 0, id(o)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.9-no-right", Chapter: "3.9, 2.2, 8 (17)", Needs: []Need{TypeI},
		Title: "A public key without the right to read cannot be read: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "public key without the right to read (tag 60 bit 01)", func(o iotsafe.Object) bool { return !readable(o) })
			s.refused(command(insReadPublicKey, 0, 0, id(o)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.9-malformed", Chapter: "3.9, 3.18", Needs: []Need{TypeI},
		Title: "READ PUBLIC KEY without a name, or with one that cannot be read, is refused as malformed",
		run: func(s *Session) {
			for _, data := range [][]byte{nil, {0x85}, {0x85, 0x00}, {0x85, 0x02, 0x01}, field(0x85, make([]byte, 21)...), field(0x83, 0x01)} {
				s.refused(command(insReadPublicKey, 0, 0, data).le(apdu.MaxLe), malformed...)
			}
		},
	},
	{
		ID: "3.9-parameters", Chapter: "3.9, 3.18", Needs: []Need{TypeI},
		Title: "READ PUBLIC KEY with P1 or P2 other than 00 answers 6A86",
		run: func(s *Session) {
			s.refusesParameters(command(insReadPublicKey, 0, 0, id(s.readableKey())))
		},
	},
}

// readableKey is an active P-256 public key that can be read.
func (s *Session) readableKey() iotsafe.Object {
	return s.pick(iotsafe.PublicKey, "active P-256 public key that can be read",
		func(o iotsafe.Object) bool { return o.Active && readable(o) && p256(o) })
}
