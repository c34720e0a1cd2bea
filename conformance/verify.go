package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"math/big"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// verifying is the public half of a pair, if it may verify.
func (s *Session) verifying(p pair) iotsafe.Object {
	if p.public.Functions&iotsafe.Signing == 0 {
		s.skip("the public key of the pair does not verify (tag 61 bit 01)")
	}
	return p.public
}

// signatureField is tag 33 with a length of two bytes.
func signatureField(signature []byte) []byte {
	return append([]byte{iotsafe.TagSignature, byte(len(signature) >> 8), byte(len(signature))}, signature...)
}

// verifyUpdate is the last UPDATE of a session in mode 03.
func verifyUpdate(session byte, digest, signature []byte) message {
	return command(insVerifyUpdate, p1Last, session, digestField(digest), signatureField(signature))
}

// verifyInit opens a session with a hash.
func (s *Session) verifyInit(session byte, public iotsafe.Object, mode iotsafe.Mode, h iotsafe.Hash) {
	s.ok(command(insVerifyInit, p1Open, session, initData(id(public), mode, h, iotsafe.ECDSA)))
}

// verify has the card judge a signature of a digest.
func (s *Session) verify(public iotsafe.Object, digest, signature []byte) apdu.Response {
	s.verifyInit(0, public, iotsafe.PadAndSign, iotsafe.SHA256)
	return s.do(verifyUpdate(0, digest, signature))
}

// accepts wants the card to take a signature.
func (s *Session) accepts(what string, public iotsafe.Object, digest, signature []byte) {
	if r := s.verify(public, digest, signature); !r.SW.Succeeded() || len(r.Data) > 0 {
		s.fail("VERIFY SIGNATURE of %s was answered %04X, want 9000", what, uint16(r.SW))
	}
}

// rejects wants the card to refuse a signature with 6D01.
func (s *Session) rejects(what string, public iotsafe.Object, digest, signature []byte) {
	s.isRefusal("VERIFY SIGNATURE of "+what, s.verify(public, digest, signature), apdu.SignatureMismatch)
}

// hostKey puts a key of the host's own into a container that verifies.
func (s *Session) hostKey() (*ecdsa.PrivateKey, iotsafe.Object) {
	o := s.peer(iotsafe.Signing)
	key := newKey()
	s.put(o, &key.PublicKey)
	return key, o
}

// hostSign signs with a key of the host.
func hostSign(key *ecdsa.PrivateKey, digest []byte) []byte {
	r, sv, err := ecdsa.Sign(rand.Reader, key, digest)
	must(0, err)
	return join(r, sv)
}

// join is r and s, each of 32 bytes. Numbers must fit.
func join(r, s *big.Int) []byte {
	b := make([]byte, 2*halfSize)
	r.FillBytes(b[:halfSize])
	s.FillBytes(b[halfSize:])
	return b
}

// changed is b with one bit changed.
func changed(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 0x01
	return b
}

// badSignatures are made from a good one: each is wrong in its own way.
func badSignatures(good []byte) map[string][]byte {
	r, s := halves(good)
	n, zero, one := elliptic.P256().Params().N, new(big.Int), big.NewInt(1)
	bad := map[string][]byte{
		"a signature with a bit of r changed":    changed(good, halfSize-1),
		"a signature with the top of r changed":  changed(good, 0),
		"a signature with a bit of s changed":    changed(good, 2*halfSize-1),
		"a signature with the top of s changed":  changed(good, halfSize),
		"a signature with r and s exchanged":     join(s, r),
		"a signature with r zero":                join(zero, s),
		"a signature with s zero":                join(r, zero),
		"a signature with r and s zero":          join(zero, zero),
		"a signature with r and s one":           join(one, one),
		"a signature with r the order":           join(n, s),
		"a signature with s the order":           join(r, n),
		"a signature with r and s the order":     join(n, n),
		"a signature with r negated":             join(new(big.Int).Sub(n, r), s),
		"a signature with all bits of s set":     join(r, new(big.Int).Sub(new(big.Int).Lsh(one, 256), one)),
		"a signature with r of the prime":        join(elliptic.P256().Params().P, s),
		"a signature with s shifted by one byte": append(bytes.Clone(good[:halfSize]), append(bytes.Clone(good[halfSize+1:]), 0)...),
	}
	return bad
}

// rfc6979 is the signature of "sample" with SHA-256 on P-256 (RFC 6979, A.2.5).
var rfc6979 = struct{ point, signature string }{
	"04" + "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6" +
		"7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
	"EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716" +
		"F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
}

// vector reads a published value.
func vector(s string) []byte { return must(hex.DecodeString(s)) }

var verifyTests = []Test{
	{
		ID: "3.14-own", Chapter: "3.14", Needs: []Need{Signing, Verification},
		Title: "VERIFY SIGNATURE accepts a signature of the card's own key with 9000 and no data",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			for n := range 4 {
				digest := hashOf(iotsafe.SHA256, []byte{byte(n)})
				s.accepts("the card's own signature", v, digest, s.sign(p.private, digest))
			}
		},
	},
	{
		ID: "3.14-own-bad", Chapter: "3.14", Needs: []Need{Signing, Verification},
		Title: "VERIFY SIGNATURE answers 6D01 if a bit of the digest or of the signature is another",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			signature := s.sign(p.private, someDigest)
			s.rejects("another digest", v, changed(someDigest, 0), signature)
			s.rejects("another digest, last bit", v, changed(someDigest, 31), signature)
			for _, at := range []int{0, 31, 32, 63} {
				s.rejects("a changed signature", v, someDigest, changed(signature, at))
			}
		},
	},
	{
		ID: "3.14-lengths", Chapter: "3.14, 5.1 (10)", Needs: []Need{Signing, Verification},
		Title: "Tag 33 in a command may have a length of one byte or of two",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			signature := s.sign(p.private, someDigest)
			for _, f := range [][]byte{field(iotsafe.TagSignature, signature...), signatureField(signature)} {
				s.verifyInit(0, v, iotsafe.PadAndSign, iotsafe.SHA256)
				s.ok(command(insVerifyUpdate, p1Last, 0, digestField(someDigest), f))
			}
		},
	},
	{
		ID: "3.14-host-key", Chapter: "3.14, 3.10", Needs: []Need{Signing, Verification, PutPublicKey}, Destructive: true,
		Title: "A key that was put verifies signatures of its owner at once, and no others",
		run: func(s *Session) {
			key, o := s.hostKey()
			s.accepts("the owner's signature", o, someDigest, hostSign(key, someDigest))
			s.rejects("another key's signature", o, someDigest, hostSign(newKey(), someDigest))
		},
	},
	{
		ID: "3.14-replaced", Chapter: "3.14, 3.10", Needs: []Need{Signing, Verification, PutPublicKey}, Destructive: true,
		Title: "A key that was put takes the place of the one before",
		run: func(s *Session) {
			old, _ := s.hostKey()
			key, o := s.hostKey()
			s.accepts("the new key's signature", o, someDigest, hostSign(key, someDigest))
			s.rejects("the old key's signature", o, someDigest, hostSign(old, someDigest))
		},
	},
	{
		ID: "3.14-rfc6979", Chapter: "3.14, RFC 6979 A.2.5", Needs: []Need{Signing, Verification, PutPublicKey}, Destructive: true,
		Title: "The signature published in RFC 6979 is accepted",
		run: func(s *Session) {
			o := s.peer(iotsafe.Signing)
			s.put(o, must(ecdsa.ParseUncompressedPublicKey(elliptic.P256(), vector(rfc6979.point))))
			s.accepts("RFC 6979", o, hashOf(iotsafe.SHA256, []byte("sample")), vector(rfc6979.signature))
			s.rejects("RFC 6979 of another text", o, hashOf(iotsafe.SHA256, []byte("simple")), vector(rfc6979.signature))
		},
	},
	{
		ID: "3.14-edges", Chapter: "3.14, FIPS 186-5 6.4.2", Needs: []Need{Signing, Verification, PutPublicKey}, Destructive: true,
		Title: "Signatures with r or s zero, the order or beyond, exchanged or changed answer 6D01",
		run: func(s *Session) {
			key, o := s.hostKey()
			for what, signature := range badSignatures(hostSign(key, someDigest)) {
				s.rejects(what, o, someDigest, signature)
			}
		},
	},
	{
		ID: "3.14-high-s", Chapter: "3.14, FIPS 186-5 6.4.2", Needs: []Need{Signing, Verification, PutPublicKey}, Destructive: true,
		Title: "Signatures are accepted with a low and with a high s",
		run: func(s *Session) {
			key, o := s.hostKey()
			r, low := halves(hostSign(key, someDigest))
			s.accepts("a signature", o, someDigest, join(r, low))
			s.accepts("the same with the order less s", o, someDigest, join(r, new(big.Int).Sub(elliptic.P256().Params().N, low)))
		},
	},
	{
		ID: "3.14-leading-zeros", Chapter: "3.14, 3.13", Needs: []Need{Signing, Verification, PutPublicKey}, Destructive: true,
		Title: "Signatures whose r or s begins with a zero are accepted",
		run: func(s *Session) {
			key, o := s.hostKey()
			for _, at := range []int{0, halfSize} {
				signature := hostSign(key, someDigest)
				for signature[at] != 0 {
					signature = hostSign(key, someDigest)
				}
				s.accepts("a signature with a leading zero", o, someDigest, signature)
			}
		},
	},
	{
		ID: "3.14-full-text", Chapter: "3.14", Needs: []Need{Signing, Verification},
		Title: "In mode 01 the card hashes the text, in one UPDATE or in several, and verifies",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			v := s.verifying(p)
			short, text := long(40), long(400)
			s.verifyInit(0, v, iotsafe.FullText, iotsafe.SHA256)
			s.ok(command(insVerifyUpdate, p1Last, 0, field(iotsafe.TagFullText, short...), signatureField(s.sign(p.private, hashOf(iotsafe.SHA256, short)))))
			signature := s.sign(p.private, hashOf(iotsafe.SHA256, text))
			s.verifyInit(0, v, iotsafe.FullText, iotsafe.SHA256)
			s.ok(command(insVerifyUpdate, p1More, 0, field(iotsafe.TagFullText, text[:250]...)))
			s.ok(command(insVerifyUpdate, p1Last, 0, field(iotsafe.TagFullText, text[250:]...), signatureField(signature)))
			s.verifyInit(0, v, iotsafe.FullText, iotsafe.SHA256)
			s.refused(command(insVerifyUpdate, p1Last, 0, field(iotsafe.TagFullText, text[:100]...), signatureField(signature)), apdu.SignatureMismatch)
		},
	},
	{
		ID: "3.14-longer-digests", Chapter: "3.14, 8 (32)", Needs: []Need{Signing, Verification},
		Title: "In mode 03 digests of 48 and 64 bytes are verified by their leftmost 256 bits",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			for _, h := range []iotsafe.Hash{iotsafe.SHA384, iotsafe.SHA512} {
				digest := hashOf(h, []byte("longer"))
				s.accepts("a longer digest", v, digest, s.sign(p.private, digest))
			}
		},
	},
}

var verifyRefusalTests = []Test{
	{
		ID: "3.14-no-init", Chapter: "3.14, 3.17, 8 (13)", Needs: []Need{TypeI, Verification},
		Title: "VERIFY SIGNATURE UPDATE without INIT answers 6985",
		run: func(s *Session) {
			s.refused(verifyUpdate(0, someDigest, make([]byte, 64)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.14-ends", Chapter: "3.14, 3.17, 5.1 (8)", Needs: []Need{Signing, Verification},
		Title: "The last UPDATE ends the session, whatever the verdict: a replayed one answers 6985",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			signature := s.sign(p.private, someDigest)
			s.accepts("a signature", v, someDigest, signature)
			s.refused(verifyUpdate(0, someDigest, signature), apdu.ConditionsNot)
			s.rejects("a wrong signature", v, someDigest, changed(signature, 0))
			s.refused(verifyUpdate(0, someDigest, signature), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.14-close", Chapter: "3.14, 3.17", Needs: []Need{Signing, Verification},
		Title: "INIT with P1 01 closes the session; closing an idle one is harmless",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			signature := s.sign(p.private, someDigest)
			s.ok(command(insVerifyInit, p1Close, 0))
			s.verifyInit(0, v, iotsafe.PadAndSign, iotsafe.SHA256)
			s.ok(command(insVerifyInit, p1Close, 0))
			s.refused(verifyUpdate(0, someDigest, signature), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.14-select", Chapter: "3.17, 5.1 (8)", Needs: []Need{Signing, Verification},
		Title: "SELECT ends a session for verifying",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			signature := s.sign(p.private, someDigest)
			s.verifyInit(0, v, iotsafe.PadAndSign, iotsafe.SHA256)
			s.exchange(s.selectBy(s.aid))
			s.refused(verifyUpdate(0, someDigest, signature), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.14-unknown", Chapter: "3.14, 3.18", Needs: []Need{TypeI, Verification},
		Title: "VERIFY SIGNATURE INIT with a key that is not there answers 6A82",
		run: func(s *Session) {
			for _, n := range []int{1, 20} {
				s.refused(command(insVerifyInit, p1Open, 0, signInit(s.unknown(iotsafe.PublicKey, n), iotsafe.PadAndSign)), apdu.NotFound)
			}
		},
	},
	{
		ID: "3.14-inactive", Chapter: "3.14, 2.2", Needs: []Need{TypeI, Verification},
		Title: "A public key that is not activated does not verify: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "P-256 public key for verifying that is not activated",
				func(o iotsafe.Object) bool { return !o.Active && p256(o) && o.Functions&iotsafe.Signing != 0 })
			s.refusesToVerify(o)
		},
	},
	{
		ID: "3.14-no-function", Chapter: "3.14, 2.2", Needs: []Need{TypeI, Verification},
		Title: "A public key without the signature function does not verify: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "active P-256 public key without the signature function",
				func(o iotsafe.Object) bool { return o.Active && p256(o) && o.Functions&iotsafe.Signing == 0 })
			s.refusesToVerify(o)
		},
	},
	{
		ID: "3.14-malformed", Chapter: "3.14, 3.18", Needs: []Need{Signing, Verification},
		Title: "UPDATE without a digest, without a signature or with one of a wrong size is never accepted",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			good := s.sign(p.private, someDigest)
			for _, data := range [][]byte{
				nil, digestField(someDigest), signatureField(good),
				append(digestField(someDigest), signatureField(good[:63])...),
				append(digestField(someDigest), signatureField(append(bytes.Clone(good), 0))...),
				append(digestField(someDigest), signatureField(nil)...),
				append(digestField(nil), signatureField(good)...),
				append(digestField(someDigest), signatureField(good)[:40]...),
			} {
				s.verifyInit(0, v, iotsafe.PadAndSign, iotsafe.SHA256)
				s.refused(command(insVerifyUpdate, p1Last, 0, data), apdu.WrongData, apdu.WrongLength, apdu.SignatureMismatch)
			}
		},
	},
	{
		ID: "3.14-parameters", Chapter: "3.14, 3.18", Needs: []Need{Signing, Verification},
		Title: "VERIFY SIGNATURE with another P1 than the interface knows answers 6A86",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			good := s.sign(p.private, someDigest)
			for _, p1 := range wrongParameters(p1Open, p1Close) {
				s.refused(command(insVerifyInit, p1, 0, signInit(id(v), iotsafe.PadAndSign)), apdu.WrongP1P2)
			}
			for _, p1 := range wrongParameters(p1More, p1Last) {
				s.verifyInit(0, v, iotsafe.PadAndSign, iotsafe.SHA256)
				s.refused(command(insVerifyUpdate, p1, 0, digestField(someDigest), signatureField(good)), apdu.WrongP1P2)
			}
		},
	},
}

// refusesToVerify wants a key not to verify: INIT says so, or UPDATE at the latest.
func (s *Session) refusesToVerify(o iotsafe.Object) {
	r := s.do(command(insVerifyInit, p1Open, 0, signInit(id(o), iotsafe.PadAndSign)))
	if r.SW.Succeeded() {
		r = s.do(verifyUpdate(0, someDigest, bytes.Repeat([]byte{1}, 64)))
	}
	s.isRefusal("VERIFY SIGNATURE", r, apdu.ConditionsNot)
}
