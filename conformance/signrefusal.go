package conformance

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

var signRefusalTests = []Test{
	{
		ID: "3.13-unknown", Chapter: "3.13, 3.18, 8 (12)", Needs: []Need{Signing},
		Title: "COMPUTE SIGNATURE INIT with a key that is not there answers 6A82",
		run: func(s *Session) {
			for _, n := range []int{1, 20} {
				s.refused(command(insSignInit, p1Open, 0, signInit(s.unknown(iotsafe.PrivateKey, n), iotsafe.PadAndSign)), apdu.NotFound)
			}
		},
	},
	{
		ID: "3.13-inactive", Chapter: "3.13, 2.2", Needs: []Need{Signing},
		Title: "A key that is not activated does not sign: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.PrivateKey, "P-256 private key for signing that is not activated",
				func(o iotsafe.Object) bool {
					return !o.Active && p256(o) && o.Functions&iotsafe.Signing != 0 && o.Signatures&iotsafe.ECDSA != 0
				})
			s.refusesToSign(o, iotsafe.SHA256, iotsafe.PadAndSign)
		},
	},
	{
		ID: "3.13-no-function", Chapter: "3.13, 2.2", Needs: []Need{Signing},
		Title: "A key without the signature function does not sign: 6985",
		run: func(s *Session) {
			o := s.pick(iotsafe.PrivateKey, "active P-256 private key without the signature function (tag 61 bit 01)",
				func(o iotsafe.Object) bool { return o.Active && p256(o) && o.Functions&iotsafe.Signing == 0 })
			s.refusesToSign(o, iotsafe.SHA256, iotsafe.PadAndSign)
		},
	},
	{
		ID: "3.13-other-hash", Chapter: "3.13, 2.2", Needs: []Need{Signing},
		Title: "In mode 01 a key does not sign with a hash that it does not have: 6985",
		run: func(s *Session) {
			for _, h := range []iotsafe.Hash{iotsafe.SHA512, iotsafe.SHA384} {
				o, ok := s.find(iotsafe.PrivateKey, func(o iotsafe.Object) bool {
					return o.Active && p256(o) && o.Functions&iotsafe.Signing != 0 && o.Hashes != 0 && o.Hashes&h == 0
				})
				if ok && s.told.info.Hashes&h != 0 {
					s.refusesToSign(o, h, iotsafe.FullText)
					return
				}
			}
			s.skip("every active key signs with every hash of the application")
		},
	},
	{
		ID: "3.13-malformed-init", Chapter: "3.13, 3.18", Needs: []Need{Signing},
		Title: "COMPUTE SIGNATURE INIT with a field missing, cut or of a wrong size is refused as malformed",
		run: func(s *Session) {
			p := s.signing()
			key, mode, hash, algorithm := id(p.private), field(iotsafe.TagMode, 0x03), field(iotsafe.TagHashes, 0, 1), field(iotsafe.TagSignatures, 4)
			for _, fields := range [][][]byte{
				{},
				{mode, hash, algorithm},
				{key, hash, algorithm},
				{key, mode, hash},
				{field(0x84), mode, hash, algorithm},
				{field(0x84, make([]byte, 21)...), mode, hash, algorithm},
				{key, field(iotsafe.TagMode, 0x00, 0x03), hash, algorithm},
				{key, mode, field(iotsafe.TagHashes, 0x01), algorithm},
				{key, mode, hash, {iotsafe.TagSignatures, 0x04}},
				{s.unknown(iotsafe.PublicKey, 1), mode, hash, algorithm},
			} {
				s.refused(command(insSignInit, p1Open, 0, fields...), malformed...)
			}
		},
	},
	{
		ID: "3.13-unknown-mode", Chapter: "3.13, 2.2", Needs: []Need{Signing},
		Title: "An operation mode, a hash or an algorithm that does not exist is refused",
		run: func(s *Session) {
			p := s.signing()
			either := []apdu.SW{apdu.WrongData, apdu.ConditionsNot}
			for _, mode := range []iotsafe.Mode{0x00, 0x04, 0xFF} {
				s.refused(command(insSignInit, p1Open, 0, signInit(id(p.private), mode)), either...)
			}
			for _, hash := range []iotsafe.Hash{0x0000, 0x0003, 0x0008, 0x8000} {
				s.refused(command(insSignInit, p1Open, 0, initData(id(p.private), iotsafe.FullText, hash, iotsafe.ECDSA)), either...)
			}
			for _, algorithm := range []iotsafe.SignatureAlgorithm{0x00, 0x05, 0x40} {
				s.refused(command(insSignInit, p1Open, 0, initData(id(p.private), iotsafe.PadAndSign, iotsafe.SHA256, algorithm)), either...)
			}
		},
	},
	{
		ID: "3.13-rsa-with-ec-key", Chapter: "3.13, 2.2", Needs: []Need{Signing},
		Title: "A key of a curve makes no RSA signature",
		run: func(s *Session) {
			p := s.signing()
			for _, algorithm := range []iotsafe.SignatureAlgorithm{iotsafe.RSAPKCS1v15, iotsafe.RSAPSS} {
				s.refused(command(insSignInit, p1Open, 0, initData(id(p.private), iotsafe.PadAndSign, iotsafe.SHA256, algorithm)),
					apdu.WrongData, apdu.ConditionsNot)
			}
		},
	},
	{
		ID: "3.13-malformed-update", Chapter: "3.13, 3.18", Needs: []Need{Signing},
		Title: "COMPUTE SIGNATURE UPDATE without a digest, with an empty one or with one of 65 bytes is refused as malformed",
		run: func(s *Session) {
			p := s.signing()
			for _, data := range [][]byte{
				nil, digestField(nil), digestField(make([]byte, 65)),
				{iotsafe.TagDigest, 0x20, 0x01}, field(0x9F, make([]byte, 32)...), field(iotsafe.TagFullText, 0xAB, 0xCD),
			} {
				s.signInit(0, p.private, iotsafe.PadAndSign)
				s.refused(signUpdate(0, data), malformed...)
			}
		},
	},
	{
		ID: "3.13-malformed-text", Chapter: "3.13, 3.18", Needs: []Need{Signing},
		Title: "In mode 01 a digest, or a text shorter than its length says, is refused as malformed",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			for _, data := range [][]byte{nil, digestField(make([]byte, 32)), {iotsafe.TagFullText, 0x05, 0x01, 0x02}} {
				s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
				s.refused(signUpdate(0, data), malformed...)
			}
		},
	},
	{
		ID: "3.13-parameters", Chapter: "3.13, 3.18", Needs: []Need{Signing},
		Title: "COMPUTE SIGNATURE with another P1 than the interface knows answers 6A86",
		run: func(s *Session) {
			p := s.signing()
			for _, p1 := range wrongParameters(p1Open, p1Close) {
				s.refused(command(insSignInit, p1, 0, signInit(id(p.private), iotsafe.PadAndSign)), apdu.WrongP1P2)
			}
			for _, p1 := range wrongParameters(p1More, p1Last) {
				s.signInit(0, p.private, iotsafe.PadAndSign)
				s.refused(command(insSignUpdate, p1, 0, digestField(make([]byte, 32))), apdu.WrongP1P2)
			}
		},
	},
}

// refusesToSign wants a key not to sign: INIT says so, or UPDATE at the latest.
func (s *Session) refusesToSign(o iotsafe.Object, hash iotsafe.Hash, mode iotsafe.Mode) {
	r := s.do(command(insSignInit, p1Open, 0, initData(id(o), mode, hash, iotsafe.ECDSA)))
	if r.SW.Succeeded() {
		data := digestField(make([]byte, 32))
		if mode == iotsafe.FullText {
			data = field(iotsafe.TagFullText, bytes.Repeat([]byte{0x61}, 3)...)
		}
		r = s.do(signUpdate(0, data))
	}
	s.isRefusal("COMPUTE SIGNATURE", r, apdu.ConditionsNot)
}
