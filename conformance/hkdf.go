package conformance

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

func hashField(h iotsafe.Hash) []byte { return field(iotsafe.TagHashes, byte(h>>8), byte(h)) }

// hkdfCommand is COMPUTE HKDF.
func hkdfCommand(secret, salt []byte, h iotsafe.Hash) message {
	return command(insHKDF, 0, 0, field(iotsafe.TagSecret, secret...), field(iotsafe.TagSalt, salt...), hashField(h))
}

// extract is HKDF-Extract (RFC 5869, 2.2).
func extract(h iotsafe.Hash, secret, salt []byte) []byte {
	switch h {
	case iotsafe.SHA384:
		return must(hkdf.Extract(sha512.New384, secret, salt))
	case iotsafe.SHA512:
		return must(hkdf.Extract(sha512.New, secret, salt))
	default:
		return must(hkdf.Extract(sha256.New, secret, salt))
	}
}

// hkdfVectors are the test cases with SHA-256 of RFC 5869, and the early secret of a TLS 1.3
// handshake without a pre-shared key.
var hkdfVectors = []struct{ name, secret, salt, prk string }{
	{
		"RFC 5869 A.1", "0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B", "000102030405060708090A0B0C",
		"077709362C2E32DF0DDC3F0DC47BBA6390B6C73BB50F9C3122EC844AD7C2B3E5",
	},
	{
		"RFC 5869 A.2",
		"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F" +
			"303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F",
		"606162636465666768696A6B6C6D6E6F707172737475767778797A7B7C7D7E7F808182838485868788898A8B8C8D8E8F" +
			"909192939495969798999A9B9C9D9E9FA0A1A2A3A4A5A6A7A8A9AAABACADAEAF",
		"06A6B88C5853361A06104C9CEB35B45CEF760014904671014A193F40C15FC244",
	},
	{
		"RFC 5869 A.3, its empty salt written as zeros", "0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"19EF24A32C717B167F33A91D6F648BDF96596776AFDB6377AC434C1C293CCB04",
	},
	{
		"E17, the early secret of TLS 1.3",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000000",
		"33AD0A1C607EC03B09E6CD9893680CE210ADF300AA1F2660E1B22E10F170F92A",
	},
}

// hkdfHashTest checks extraction with one hash.
func hkdfHashTest(id string, h iotsafe.Hash, has func(iotsafe.Info) bool) Test {
	return Test{
		ID: id, Title: "COMPUTE HKDF extracts with " + hashNames[h] + ", as many bytes as that hash has", Chapter: "3.16, RFC 5869 2.2", Needs: []Need{HKDF},
		run: func(s *Session) {
			if !has(s.told.info) {
				s.skip("the card says that it does not offer %s (tag 91)", hashNames[h])
			}
			for _, n := range []int{1, 32, 64, 80} {
				s.same("the key", s.ok(hkdfCommand(long(n), long(n + 3)[3:], h)), extract(h, long(n), long(n + 3)[3:]))
			}
		},
	}
}

func hasHash(h iotsafe.Hash) func(iotsafe.Info) bool {
	return func(i iotsafe.Info) bool { return i.Hashes&h != 0 }
}

var hkdfTests = []Test{
	{
		ID: "3.16-vectors", Chapter: "3.16, E17, RFC 5869 A", Needs: []Need{HKDF},
		Title: "COMPUTE HKDF answers the published keys of RFC 5869 and the early secret of TLS 1.3",
		run: func(s *Session) {
			for _, v := range hkdfVectors {
				s.same(v.name, s.ok(hkdfCommand(vector(v.secret), vector(v.salt), iotsafe.SHA256)), vector(v.prk))
			}
		},
	},
	hkdfHashTest("3.16-sha256", iotsafe.SHA256, func(iotsafe.Info) bool { return true }),
	hkdfHashTest("3.16-sha384", iotsafe.SHA384, hasHash(iotsafe.SHA384)),
	hkdfHashTest("3.16-sha512", iotsafe.SHA512, hasHash(iotsafe.SHA512)),
	{
		ID: "3.16-any-order", Chapter: "3.16, 8 (8)", Needs: []Need{HKDF},
		Title: "COMPUTE HKDF takes its fields in any order, with Le and without",
		run: func(s *Session) {
			want := extract(iotsafe.SHA256, long(32), long(20))
			c := command(insHKDF, 0, 0, hashField(iotsafe.SHA256), field(iotsafe.TagSalt, long(20)...), field(iotsafe.TagSecret, long(32)...))
			s.same("the key, fields reversed", s.ok(c), want)
			s.same("the key, with Le 00", s.ok(hkdfCommand(long(32), long(20), iotsafe.SHA256).le(apdu.MaxLe)), want)
		},
	},
	{
		ID: "3.16-stored", Chapter: "3.16, 8 (9)", Needs: []Need{HKDF, KnownSecret},
		Title: "A stored secret takes the place of tag D1",
		run: func(s *Session) {
			c := command(insHKDF, 0, 0, s.secretID(), field(iotsafe.TagSalt, long(32)...), hashField(iotsafe.SHA256))
			s.same("the key", s.ok(c), extract(iotsafe.SHA256, s.options.Secret, long(32)))
		},
	},
	{
		ID: "3.16-stored-consistent", Chapter: "3.16, 8 (9)", Needs: []Need{HKDF},
		Title: "With a stored secret of unknown value: the same salt gives the same key, another salt another",
		run: func(s *Session) {
			o := s.derivingSecret(iotsafe.HKDF)
			ask := func(salt []byte) []byte {
				return s.ok(command(insHKDF, 0, 0, id(o), field(iotsafe.TagSalt, salt...), hashField(iotsafe.SHA256)))
			}
			first := ask(long(32))
			if len(first) != 32 {
				s.fail("the key has %d bytes", len(first))
			}
			s.same("the key for the same salt", ask(long(32)), first)
			if string(ask(long(33))) == string(first) {
				s.fail("another salt gives the same key")
			}
		},
	},
	{
		ID: "3.16-unknown", Chapter: "3.16, 3.18", Needs: []Need{HKDF},
		Title: "COMPUTE HKDF with a stored secret that is not there answers 6A82",
		run: func(s *Session) {
			s.refused(command(insHKDF, 0, 0, s.unknown(iotsafe.SecretKey, 1), field(iotsafe.TagSalt, long(32)...), hashField(iotsafe.SHA256)), apdu.NotFound)
		},
	},
	{
		ID: "3.16-inactive", Chapter: "3.16, 2.2", Needs: []Need{HKDF},
		Title: "A stored secret that is not activated derives nothing: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.SecretKey, "secret key that is not activated", func(o iotsafe.Object) bool { return !o.Active })
			s.refused(command(insHKDF, 0, 0, id(o), field(iotsafe.TagSalt, long(32)...), hashField(iotsafe.SHA256)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.16-no-function", Chapter: "3.16, 2.2", Needs: []Need{HKDF},
		Title: "A stored secret without HKDF (tags 61 and 94) does not compute it: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.SecretKey, "active secret key without HKDF", func(o iotsafe.Object) bool {
				return o.Active && (o.Functions&iotsafe.KeyDerivation == 0 || o.Derivations&iotsafe.HKDF == 0)
			})
			s.refused(command(insHKDF, 0, 0, id(o), field(iotsafe.TagSalt, long(32)...), hashField(iotsafe.SHA256)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.16-malformed", Chapter: "3.16, 3.18", Needs: []Need{HKDF},
		Title: "COMPUTE HKDF without a secret, with a field cut or with a hash that does not exist is refused as malformed",
		run: func(s *Session) {
			secret, salt := field(iotsafe.TagSecret, long(32)...), field(iotsafe.TagSalt, long(32)...)
			for _, fields := range [][][]byte{
				{}, {salt, hashField(iotsafe.SHA256)}, {secret, salt, hashField(0x0008)}, {secret, salt, hashField(0)},
				{secret, salt, {iotsafe.TagHashes, 0x02, 0x00}}, {secret[:20], salt[:3]},
			} {
				s.refused(command(insHKDF, 0, 0, fields...).le(apdu.MaxLe), malformed...)
			}
		},
	},
	{
		ID: "3.16-parameters", Chapter: "3.16, 3.18", Needs: []Need{HKDF},
		Title: "COMPUTE HKDF with P1 or P2 other than 00 answers 6A86",
		run:   func(s *Session) { s.refusesParameters(hkdfCommand(long(32), long(32), iotsafe.SHA256)) },
	},
}
