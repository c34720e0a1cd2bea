package conformance

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// P1 of COMPUTE PRF.
const (
	prfGeneral byte = 0x00
	prfPSK     byte = 0x01
	prfECDHE   byte = 0x02
)

// maxPRF is the most that COMPUTE PRF answers, in bytes.
const maxPRF = 255

// expand is P_SHA256 (RFC 5246, chapter 5).
func expand(secret, seed []byte, n int) []byte {
	mac := func(parts ...[]byte) []byte {
		h := hmac.New(sha256.New, secret)
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	var out []byte
	for a := mac(seed); len(out) < n; a = mac(a) {
		out = append(out, mac(a, seed)...)
	}
	return out[:n]
}

// counted is a value behind its length of two bytes.
func counted(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

// premasterPSK is the premaster secret of RFC 4279, chapter 2.
func premasterPSK(psk []byte) []byte {
	return append(counted(make([]byte, len(psk))), counted(psk)...)
}

// premasterECDHE is the premaster secret of RFC 5489, chapter 2.
func premasterECDHE(z, psk []byte) []byte { return append(counted(z), counted(psk)...) }

// prf is COMPUTE PRF in general mode.
func prf(secret, seed []byte, n int) message {
	return command(insPRF, prfGeneral, 0, field(iotsafe.TagSecret, secret...), field(iotsafe.TagSeed, seed...), field(iotsafe.TagLength, byte(n)))
}

// secretID names the secret key whose value is known.
func (s *Session) secretID() []byte {
	o, listed := s.find(iotsafe.SecretKey, func(o iotsafe.Object) bool { return o.ID == s.options.SecretID })
	if listed && !o.Active {
		s.skip("the secret key with a known value is not activated")
	}
	return field(iotsafe.SecretKey.IDTag(), []byte(s.options.SecretID)...)
}

// prfVectors are published for P_SHA256: the secret, the label with the seed, the output.
var prfVectors = []struct{ name, secret, label, seed, out string }{
	{
		"the TLS 1.2 vector of the IETF's list",
		"9BBE436BA940F017B17652849A71DB35", "test label", "A0BA9F936CDA311827A6F796FFD5198C",
		"E3F229BA727BE17B8D122620557CD453C2AAB21D07C3D495329B52D4E61EDB5A" +
			"6B301791E90D35C9C9A46B4E14BAF9AF0FA022F7077DEF17ABFD3797C0564BAB" +
			"4FBC91666E9DEF9B97FCE34F796789BAA48082D122EE42C5A72E5A5110FFF701" +
			"87347B66",
	},
	{
		"E15",
		"C0485B054863F6DFA458789768B9035C6CACB160DD1A01834811F5783309DB81", "extended master secret",
		"CE15B44D68440B652624244DB8D2FB7DD601C759E9EB627FB10529AB0DB76049",
		"A1F02A766DA04C8FD83A40E358267528F8D815C48E3DC353D55FE3861C350622" +
			"C78B48FE6F49F6E13E1B6B175CFE59FB",
	},
}

// someSeed is a label with a seed.
var someSeed = []byte("master secret" + "client random of 32 bytes, or so" + "server random of 32 bytes, or so")

var prfTests = []Test{
	{
		ID: "3.15-vectors", Chapter: "3.15, E15, RFC 5246 5", Needs: []Need{PRF},
		Title: "In general mode COMPUTE PRF answers the published outputs of the PRF of TLS 1.2",
		run: func(s *Session) {
			for _, v := range prfVectors {
				want := vector(v.out)
				s.same(v.name, s.ok(prf(vector(v.secret), append([]byte(v.label), vector(v.seed)...), len(want))), want)
			}
		},
	},
	{
		ID: "3.15-lengths", Chapter: "3.15, 8 (6)", Needs: []Need{PRF},
		Title: "COMPUTE PRF answers as many bytes as tag D3 says, 1 to 255",
		run: func(s *Session) {
			secret := long(32)
			for _, n := range []int{1, 12, 16, 31, 32, 33, 48, 64, 127, 128, 224, 254, maxPRF} {
				s.same("the output", s.ok(prf(secret, someSeed, n)), expand(secret, someSeed, n))
			}
		},
	},
	{
		ID: "3.15-secrets", Chapter: "3.15", Needs: []Need{PRF},
		Title: "COMPUTE PRF takes secrets from 1 byte to more than a block of the hash",
		run: func(s *Session) {
			for _, n := range []int{1, 16, 48, 63, 64, 65, 100} {
				s.same("the output", s.ok(prf(long(n), someSeed, 40)), expand(long(n), someSeed, 40))
			}
		},
	},
	{
		ID: "3.15-le", Chapter: "3.15, 3.2", Needs: []Need{PRF},
		Title: "COMPUTE PRF answers the same with Le 00",
		run: func(s *Session) {
			s.same("the output", s.ok(prf(long(32), someSeed, 48).le(apdu.MaxLe)), expand(long(32), someSeed, 48))
		},
	},
	{
		ID: "3.15-any-order", Chapter: "3.15, 8 (8)", Needs: []Need{PRF},
		Title: "COMPUTE PRF takes its fields in any order",
		run: func(s *Session) {
			c := command(insPRF, prfGeneral, 0, field(iotsafe.TagLength, 48), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagSecret, long(32)...))
			s.same("the output", s.ok(c), expand(long(32), someSeed, 48))
		},
	},
	{
		ID: "3.15-stored", Chapter: "3.15, 8 (7)", Needs: []Need{PRF, KnownSecret},
		Title: "In general mode a stored secret takes the place of tag D1",
		run: func(s *Session) {
			c := command(insPRF, prfGeneral, 0, s.secretID(), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48))
			s.same("the output", s.ok(c), expand(s.options.Secret, someSeed, 48))
		},
	},
	{
		ID: "3.15-psk", Chapter: "3.15, RFC 4279 2", Needs: []Need{PRF, KnownSecret},
		Title: "In mode 01 the secret is the premaster secret of RFC 4279 made of the stored key",
		run: func(s *Session) {
			c := command(insPRF, prfPSK, 0, s.secretID(), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48))
			s.same("the master secret", s.ok(c), expand(premasterPSK(s.options.Secret), someSeed, 48))
		},
	},
	{
		ID: "3.15-psk-ecdhe", Chapter: "3.15, RFC 5489 2", Needs: []Need{PRF, KnownSecret},
		Title: "In mode 02 the secret is the premaster secret of RFC 5489 made of tag D4 and the stored key",
		run: func(s *Session) {
			z := long(32)
			c := command(insPRF, prfECDHE, 0, s.secretID(), field(iotsafe.TagOtherSecret, z...), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48))
			s.same("the master secret", s.ok(c), expand(premasterECDHE(z, s.options.Secret), someSeed, 48))
		},
	},
	{
		ID: "3.15-psk-consistent", Chapter: "3.15", Needs: []Need{PRF},
		Title: "With a stored key of unknown value: the same input gives the same output, another seed or mode another",
		run: func(s *Session) {
			o := s.derivingSecret(iotsafe.PRFSHA256)
			ask := func(mode byte, seed []byte, n int, more ...byte) []byte {
				return s.ok(command(insPRF, mode, 0, id(o), more, field(iotsafe.TagSeed, seed...), field(iotsafe.TagLength, byte(n))))
			}
			first := ask(prfPSK, someSeed, 48)
			s.same("the output for the same input", ask(prfPSK, someSeed, 48), first)
			s.same("the beginning of a longer output", ask(prfPSK, someSeed, 100)[:min(48, 100)], first)
			if bytes.Equal(first, ask(prfPSK, append([]byte("x"), someSeed...), 48)) {
				s.fail("another seed gives the same output")
			}
			if bytes.Equal(first, ask(prfECDHE, someSeed, 48, field(iotsafe.TagOtherSecret, long(32)...)...)) {
				s.fail("mode 02 gives the same output as mode 01")
			}
		},
	},
	{
		ID: "3.15-unknown", Chapter: "3.15, 3.18", Needs: []Need{PRF},
		Title: "COMPUTE PRF with a stored key that is not there answers 6A82",
		run: func(s *Session) {
			for _, n := range []int{1, 20} {
				s.refused(command(insPRF, prfPSK, 0, s.unknown(iotsafe.SecretKey, n), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48)), apdu.NotFound)
			}
		},
	},
	{
		ID: "3.15-inactive", Chapter: "3.15, 2.2", Needs: []Need{PRF},
		Title: "A secret key that is not activated derives nothing: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.SecretKey, "secret key that is not activated", func(o iotsafe.Object) bool { return !o.Active })
			s.refused(command(insPRF, prfPSK, 0, id(o), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.15-no-function", Chapter: "3.15, 2.2", Needs: []Need{PRF},
		Title: "A secret key without the PRF (tags 61 and 94) does not compute it: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.SecretKey, "active secret key without the PRF", func(o iotsafe.Object) bool {
				return o.Active && (o.Functions&iotsafe.KeyDerivation == 0 || o.Derivations&iotsafe.PRFSHA256 == 0)
			})
			s.refused(command(insPRF, prfPSK, 0, id(o), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.15-malformed", Chapter: "3.15, 3.18", Needs: []Need{PRF},
		Title: "COMPUTE PRF with a field missing, cut or asking for nothing is refused as malformed",
		run: func(s *Session) {
			secret, seed, length := field(iotsafe.TagSecret, long(32)...), field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48)
			for _, fields := range [][][]byte{
				{}, {seed, length}, {secret, length}, {secret, seed}, {secret, seed, field(iotsafe.TagLength, 0)},
				{secret, seed, field(iotsafe.TagLength)}, {secret, seed, {iotsafe.TagLength, 0x01}},
			} {
				s.refused(command(insPRF, prfGeneral, 0, fields...).le(apdu.MaxLe), malformed...)
			}
		},
	},
	{
		ID: "3.15-mode-fields", Chapter: "3.15", Needs: []Need{PRF},
		Title: "Modes 01 and 02 need a stored key, mode 02 also tag D4: without it is refused as malformed",
		run: func(s *Session) {
			o := s.derivingSecret(iotsafe.PRFSHA256)
			seed, length := field(iotsafe.TagSeed, someSeed...), field(iotsafe.TagLength, 48)
			for _, c := range []message{
				command(insPRF, prfPSK, 0, seed, length), command(insPRF, prfECDHE, 0, seed, length),
				command(insPRF, prfECDHE, 0, id(o), seed, length),
			} {
				s.refused(c, malformed...)
			}
		},
	},
	{
		ID: "3.15-parameters", Chapter: "3.15, 3.18", Needs: []Need{PRF},
		Title: "COMPUTE PRF with a P1 over 02 or a P2 other than 00 answers 6A86",
		run: func(s *Session) {
			c := prf(long(32), someSeed, 48)
			for _, p := range wrongParameters(prfPSK, prfECDHE) {
				c.P1, c.P2 = p, 0
				s.refused(c, apdu.WrongP1P2)
			}
			for _, p := range wrongParameters() {
				c.P1, c.P2 = 0, p
				s.refused(c, apdu.WrongP1P2)
			}
		},
	},
}

// derivingSecret is an active secret key for a derivation.
func (s *Session) derivingSecret(d iotsafe.Derivation) iotsafe.Object {
	return s.pick(iotsafe.SecretKey, "active secret key for the derivation (tags 61, 94)", func(o iotsafe.Object) bool {
		return o.Active && o.Functions&iotsafe.KeyDerivation != 0 && o.Derivations&d != 0
	})
}
