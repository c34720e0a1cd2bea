package conformance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/sha512"
	"math/big"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// halfSize is the size of r and of s, in bytes.
const halfSize = 32

// signInit is the data of INIT: key, mode, SHA-256, ECDSA.
func signInit(key []byte, mode iotsafe.Mode) []byte {
	return initData(key, mode, iotsafe.SHA256, iotsafe.ECDSA)
}

// initData is the data of INIT for signing and for verifying.
func initData(key []byte, mode iotsafe.Mode, hash iotsafe.Hash, algorithm iotsafe.SignatureAlgorithm) []byte {
	return bytes.Join([][]byte{
		key, field(iotsafe.TagMode, byte(mode)),
		field(iotsafe.TagHashes, byte(hash>>8), byte(hash)),
		field(iotsafe.TagSignatures, byte(algorithm)),
	}, nil)
}

// signInit opens a signature session.
func (s *Session) signInit(session byte, private iotsafe.Object, mode iotsafe.Mode) {
	s.ok(command(insSignInit, p1Open, session, signInit(id(private), mode)))
}

// signUpdate is the last UPDATE of a session.
func signUpdate(session byte, data []byte) message {
	return command(insSignUpdate, p1Last, session, data)
}

func digestField(digest []byte) []byte { return field(iotsafe.TagDigest, digest...) }

// sign signs a digest in mode 03 and returns r and s.
func (s *Session) sign(private iotsafe.Object, digest []byte) []byte {
	s.signInit(0, private, iotsafe.PadAndSign)
	return s.signature(s.ok(signUpdate(0, digestField(digest))))
}

// signature takes r and s out of tag 33, whatever the form of its length.
func (s *Session) signature(data []byte) []byte {
	for _, head := range []string{"\x33\x00\x40", "\x33\x40"} {
		if len(data) == len(head)+2*halfSize && string(data[:len(head)]) == head {
			return data[len(head):]
		}
	}
	s.fail("the signature is % X, want tag 33 with r and s of 32 bytes each", data)
	return nil
}

// verifies tells whether r and s are a signature of the digest.
func verifies(key *ecdsa.PublicKey, digest, signature []byte) bool {
	r, s := halves(signature)
	return ecdsa.Verify(key, digest, r, s)
}

// halves are r and s as numbers.
func halves(signature []byte) (r, s *big.Int) {
	return new(big.Int).SetBytes(signature[:halfSize]), new(big.Int).SetBytes(signature[halfSize:])
}

// good wants a signature to verify.
func (s *Session) good(key *ecdsa.PublicKey, digest, signature []byte) {
	if !verifies(key, digest, signature) {
		s.fail("the signature % X of % X does not verify", signature, digest)
	}
}

// hashOf is a digest by one of the interface's algorithms.
func hashOf(hash iotsafe.Hash, text []byte) []byte {
	switch hash {
	case iotsafe.SHA384:
		d := sha512.Sum384(text)
		return d[:]
	case iotsafe.SHA512:
		d := sha512.Sum512(text)
		return d[:]
	default:
		d := sha256.Sum256(text)
		return d[:]
	}
}

// maxPaddingTries is how many signatures are made until one begins with a zero; one in
// 128 does, so that the rest of so many is never needed.
const maxPaddingTries = 3000

var signTests = []Test{
	{
		ID: "3.13-sign-digest", Chapter: "3.13", Needs: []Need{Signing},
		Title: "In mode 03 the card signs a digest of SHA-256, and the signature verifies with the public key",
		run: func(s *Session) {
			p := s.signing()
			for _, text := range []string{"", "abc", "hello world"} {
				digest := hashOf(iotsafe.SHA256, []byte(text))
				s.good(p.key, digest, s.sign(p.private, digest))
			}
		},
	},
	{
		ID: "3.13-padding", Chapter: "3.13", Needs: []Need{Signing},
		Title: "A signature is r and s, each of 32 bytes, left-padded with zeros",
		run: func(s *Session) {
			p := s.signing()
			for n := range maxPaddingTries {
				digest := hashOf(iotsafe.SHA256, []byte{byte(n >> 8), byte(n)})
				signature := s.sign(p.private, digest)
				s.good(p.key, digest, signature)
				if signature[0] == 0 || signature[halfSize] == 0 {
					return
				}
			}
			s.skip("none of %d signatures had a leading zero", maxPaddingTries)
		},
	},
	{
		ID: "3.13-length-form", Chapter: "3.13, 5.1 (9), 8 (2)", Needs: []Need{Signing},
		Title: "Tag 33 has a length of two bytes (33 00 40), or of one (33 40), or of two in class 8n and of one in class 0n",
		run: func(s *Session) {
			p := s.signing()
			form := func(cla byte) int {
				cla = apdu.OnChannel(cla, s.channel)
				if r := s.exchange(command(insSignInit, p1Open, 0, signInit(id(p.private), iotsafe.PadAndSign)).class(cla)); !r.SW.Succeeded() {
					s.fail("COMPUTE SIGNATURE INIT was answered %04X", uint16(r.SW))
				}
				data := s.exchange(signUpdate(0, digestField(someDigest)).class(cla)).Data
				s.good(p.key, someDigest, s.signature(data))
				return len(data) - 1 - 2*halfSize
			}
			if high, low := form(0x80), form(0x00); high < low {
				s.fail("the length has %d bytes in class 8n and %d in class 0n: clients of either class expect it the other way round", high, low)
			}
		},
	},
	{
		ID: "3.13-init-silent", Chapter: "3.13", Needs: []Need{Signing},
		Title: "COMPUTE SIGNATURE INIT answers 9000 without data, with Le and without",
		run: func(s *Session) {
			p := s.signing()
			c := command(insSignInit, p1Open, 0, signInit(id(p.private), iotsafe.PadAndSign))
			for _, c := range []message{c, c.le(apdu.MaxLe)} {
				if data := s.ok(c); len(data) > 0 {
					s.fail("it answered %d bytes", len(data))
				}
			}
		},
	},
	{
		ID: "3.13-label", Chapter: "3.13, 2.1", Needs: []Need{Signing},
		Title: "COMPUTE SIGNATURE INIT can name the key by its label",
		run: func(s *Session) {
			p := s.signing()
			if p.private.Label == "" || s.bearers(p.private) > 1 {
				s.skip("the key has no label of its own")
			}
			digest := hashOf(iotsafe.SHA256, []byte("by label"))
			s.ok(command(insSignInit, p1Open, 0, signInit(label(p.private), iotsafe.PadAndSign)))
			s.good(p.key, digest, s.signature(s.ok(signUpdate(0, digestField(digest)))))
		},
	},
	{
		ID: "3.13-every-key", Chapter: "3.13", Needs: []Need{Signing},
		Title: "Every active P-256 key for signing signs, and with its own key",
		run: func(s *Session) {
			tried := false
			for _, private := range s.objects() {
				public, ok := s.publicHalf(private)
				if private.Kind != iotsafe.PrivateKey || !private.Active || !p256(private) || private.Usage != iotsafe.General ||
					private.Functions&iotsafe.Signing == 0 || private.Signatures&iotsafe.ECDSA == 0 ||
					!ok || !public.Active || !readable(public) {
					continue
				}
				tried = true
				digest := hashOf(iotsafe.SHA256, []byte(private.ID))
				s.good(s.readKey(public), digest, s.sign(private, digest))
			}
			if !tried {
				s.skip("no key for signing is active")
			}
		},
	},
	{
		ID: "3.13-longer-digests", Chapter: "3.13, 8 (32)", Needs: []Need{Signing},
		Title: "In mode 03 digests of 48 and 64 bytes are signed too, of which the leftmost 256 bits count",
		run: func(s *Session) {
			p := s.signing()
			for _, hash := range []iotsafe.Hash{iotsafe.SHA384, iotsafe.SHA512} {
				digest := hashOf(hash, []byte("longer"))
				s.good(p.key, digest, s.sign(p.private, digest))
			}
		},
	},
	{
		ID: "3.13-zero-digest", Chapter: "3.13", Needs: []Need{Signing},
		Title: "Digests of zeros and of ones are signed like others",
		run: func(s *Session) {
			p := s.signing()
			for _, digest := range [][]byte{make([]byte, 32), bytes.Repeat([]byte{0xFF}, 32)} {
				s.good(p.key, digest, s.sign(p.private, digest))
			}
		},
	},
	{
		ID: "3.13-nonces", Chapter: "3.13, FIPS 186-5 6.3", Needs: []Need{Signing},
		Title: "Signatures of different digests never share r: that would give the key away",
		run: func(s *Session) {
			p := s.signing()
			seen := map[string]bool{}
			for n := range 8 {
				r := string(s.sign(p.private, hashOf(iotsafe.SHA256, []byte{byte(n)}))[:halfSize])
				if seen[r] {
					s.fail("r is % X for two digests", r)
				}
				seen[r] = true
			}
		},
	},
	{
		ID: "3.13-tls13-key", Chapter: "2.2, 8 (29)", Needs: []Need{Signing},
		Title: "A key for TLS 1.3 CertificateVerify signs such content in full",
		run: func(s *Session) {
			p := s.usagePair(iotsafe.TLS13CertificateVerify)
			text := certificateVerify()
			s.ok(command(insSignInit, p1Open, 0, signInit(id(p.private), iotsafe.FullText)))
			s.good(p.key, hashOf(iotsafe.SHA256, text), s.signature(s.ok(signUpdate(0, field(iotsafe.TagFullText, text...)))))
		},
	},
	{
		ID: "3.13-tls13-only", Chapter: "2.2, 8 (29)", Needs: []Need{Signing},
		Title: "A key for TLS 1.3 CertificateVerify signs nothing else, and no digest of unknown content",
		run: func(s *Session) {
			other := bytes.Replace(certificateVerify(), []byte("TLS 1.3"), []byte("TLS 1.4"), 1)
			s.signsNothingElse(s.usagePair(iotsafe.TLS13CertificateVerify), other)
		},
	},
	{
		ID: "3.13-tls12-key", Chapter: "2.2, 8 (29), RFC 5246 7.4.8", Needs: []Need{Signing},
		Title: "A key for TLS 1.2 CertificateVerify signs the messages of a handshake in full",
		run: func(s *Session) {
			p := s.usagePair(iotsafe.TLS12CertificateVerify)
			text := handshake()
			s.ok(command(insSignInit, p1Open, 0, signInit(id(p.private), iotsafe.FullText)))
			s.good(p.key, hashOf(iotsafe.SHA256, text), s.fullText(0, field(iotsafe.TagFullText, text[:200]...), field(iotsafe.TagFullText, text[200:]...)))
		},
	},
	{
		ID: "3.13-tls12-only", Chapter: "2.2, 8 (29)", Needs: []Need{Signing},
		Title: "A key for TLS 1.2 CertificateVerify signs nothing else, and no digest of unknown content",
		run: func(s *Session) {
			s.signsNothingElse(s.usagePair(iotsafe.TLS12CertificateVerify), certificateVerify())
		},
	},
}

// signsNothingElse wants a key of a certain usage to refuse other content.
func (s *Session) signsNothingElse(p pair, other []byte) {
	for _, try := range []struct {
		mode iotsafe.Mode
		data []byte
	}{
		{iotsafe.FullText, field(iotsafe.TagFullText, []byte("pay the bearer, whoever that may be, on demand")...)},
		{iotsafe.FullText, field(iotsafe.TagFullText, other...)},
		{iotsafe.PadAndSign, digestField(someDigest)},
		{iotsafe.LastBlock, lastBlock(long(10), intermediate(iotsafe.SHA256, long(64)), 64)},
	} {
		r := s.do(command(insSignInit, p1Open, 0, signInit(id(p.private), try.mode)))
		if r.SW.Succeeded() {
			r = s.do(signUpdate(0, try.data))
		}
		s.isError("COMPUTE SIGNATURE over other content", r)
	}
}

// handshake begins as the messages of a TLS 1.2 handshake do: with a ClientHello.
func handshake() []byte {
	return append([]byte{0x01, 0x00, 0x01, 0x20, 0x03, 0x03}, long(400)...)
}

// usagePair is an active pair whose key has a certain specific usage.
func (s *Session) usagePair(u iotsafe.Usage) pair {
	private := s.pick(iotsafe.PrivateKey, "active P-256 key with that usage (tag 4E)", func(o iotsafe.Object) bool {
		public, ok := s.publicHalf(o)
		return o.Active && p256(o) && o.Usage == u && o.Functions&iotsafe.Signing != 0 && o.Hashes&iotsafe.SHA256 != 0 && ok && public.Active && readable(public)
	})
	public, _ := s.publicHalf(private)
	return pair{private, public, s.readKey(public)}
}

// certificateVerify is what a TLS 1.3 client signs (RFC 8446, 4.4.3).
func certificateVerify() []byte {
	text := bytes.Repeat([]byte{0x20}, 64)
	text = append(text, "TLS 1.3, client CertificateVerify\x00"...)
	return append(text, hashOf(iotsafe.SHA256, []byte("transcript"))...)
}
