package conformance

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // SHA-256 for crypto/rsa
	"math/big"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// rsaSize is the size of an RSA-2048 modulus and of a signature, in bytes.
const rsaSize = 256

// rsaPair is an active RSA pair that signs with an algorithm.
func (s *Session) rsaPair(a iotsafe.SignatureAlgorithm) (private, public iotsafe.Object, key *rsa.PublicKey) {
	if s.told.info.Signatures&a == 0 {
		s.skip("the card does not offer this signature (tag 92)")
	}
	private = s.pick(iotsafe.PrivateKey, "active RSA pair for such signatures", func(o iotsafe.Object) bool {
		public, ok := s.publicHalf(o)
		return o.KeyType == iotsafe.RSA2048 && o.Active && o.Signatures&a != 0 && o.Functions&iotsafe.Signing != 0 &&
			ok && public.Active && readable(public)
	})
	public, _ = s.publicHalf(private)
	return private, public, s.readRSA(public)
}

// readRSA reads an RSA public key: 34 › 49 › 81 modulus, 82 exponent.
func (s *Session) readRSA(o iotsafe.Object) *rsa.PublicKey {
	data := s.ok(command(insReadPublicKey, 0, 0, id(o)))
	inner := data
	for _, tag := range []tlv.Tag{0x34, 0x49} {
		object, rest, err := tlv.Next(inner)
		if err != nil || len(rest) > 0 || object.Tag != tag {
			s.fail("an RSA public key is % X, want 34, in it 49, in it 81 and 82", data)
		}
		inner = object.Value
	}
	parts, err := tlv.Parse(inner)
	if err != nil || len(parts) != 2 || parts[0].Tag != 0x81 || parts[1].Tag != 0x82 {
		s.fail("an RSA public key is % X, want 34, in it 49, in it 81 and 82", data)
	}
	n, e := new(big.Int).SetBytes(parts[0].Value), new(big.Int).SetBytes(parts[1].Value)
	if n.BitLen() != 8*rsaSize || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 || e.Bit(0) == 0 {
		s.fail("an RSA key of %d bits with exponent %v", n.BitLen(), e)
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}
}

// rsaSign signs a digest of SHA-256 and returns the signature: tag 33 has a length of two bytes.
func (s *Session) rsaSign(private iotsafe.Object, a iotsafe.SignatureAlgorithm, digest []byte) []byte {
	s.ok(command(insSignInit, p1Open, 0, initData(id(private), iotsafe.PadAndSign, iotsafe.SHA256, a)))
	data := s.ok(signUpdate(0, digestField(digest)))
	if len(data) != 3+rsaSize || string(data[:3]) != "\x33\x01\x00" {
		s.fail("an RSA signature of %d bytes, want 33 01 00 and 256 bytes", len(data))
	}
	return data[3:]
}

var rsaTests = []Test{
	{
		ID: "3.13-rsa-pkcs1", Chapter: "3.13, 4, 8 (21)", Needs: []Need{RSASigning},
		Title: "An RSA-2048 key makes PKCS#1 v1.5 signatures of 256 bytes, tag 33 with a length of two bytes",
		run: func(s *Session) {
			private, _, key := s.rsaPair(iotsafe.RSAPKCS1v15)
			signature := s.rsaSign(private, iotsafe.RSAPKCS1v15, someDigest)
			if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, someDigest, signature); err != nil {
				s.fail("the signature does not verify")
			}
		},
	},
	{
		ID: "3.13-rsa-pss", Chapter: "3.13, 4, 8 (21)", Needs: []Need{RSASigning},
		Title: "An RSA-2048 key makes PSS signatures with a salt as long as the hash",
		run: func(s *Session) {
			private, _, key := s.rsaPair(iotsafe.RSAPSS)
			signature := s.rsaSign(private, iotsafe.RSAPSS, someDigest)
			if err := rsa.VerifyPSS(key, crypto.SHA256, someDigest, signature, &rsa.PSSOptions{SaltLength: 32}); err != nil {
				s.fail("the signature does not verify")
			}
		},
	},
	{
		ID: "3.13-rsa-response", Chapter: "4", Needs: []Need{RSASigning},
		Title: "An answer over 256 bytes comes in two: the first with 61xx",
		run: func(s *Session) {
			private, _, _ := s.rsaPair(iotsafe.RSAPKCS1v15)
			s.ok(command(insSignInit, p1Open, 0, initData(id(private), iotsafe.PadAndSign, iotsafe.SHA256, iotsafe.RSAPKCS1v15)))
			r := s.once(signUpdate(0, digestField(someDigest)).class(apdu.OnChannel(0x80, s.channel)).le(apdu.MaxLe))
			if r.SW>>8 != 0x61 || len(r.Data) > apdu.MaxLe || int(byte(r.SW)) != min(3+rsaSize-len(r.Data), 256)%256 {
				s.fail("the first answer has %d bytes and %04X", len(r.Data), uint16(r.SW))
			}
		},
	},
	{
		ID: "3.14-rsa", Chapter: "3.14, 5.1 (10)", Needs: []Need{RSASigning, Verification},
		Title: "Bytes that are too few for an RSA signature are never accepted as one",
		run: func(s *Session) {
			_, public, _ := s.rsaPair(iotsafe.RSAPKCS1v15)
			if public.Functions&iotsafe.Signing == 0 {
				s.skip("the public key does not verify")
			}
			s.ok(command(insVerifyInit, p1Open, 0, initData(id(public), iotsafe.PadAndSign, iotsafe.SHA256, iotsafe.RSAPKCS1v15)))
			s.isError("VERIFY SIGNATURE of 64 bytes", s.do(verifyUpdate(0, someDigest, make([]byte, 64))))
		},
	},
	{
		ID: "3.10-parts", Chapter: "3.10, 4", Needs: []Need{RSASigning, PutPublicKey}, Destructive: true,
		Title: "Key data over FD bytes is put in several UPDATEs, each with a 34 of its own",
		run: func(s *Session) {
			o := s.pick(iotsafe.PublicKey, "RSA public key that a device may put and read",
				func(o iotsafe.Object) bool { return o.KeyType == iotsafe.RSA2048 && updateable(o) && readable(o) })
			modulus := bytes.Repeat([]byte{0xC5}, rsaSize)
			inner := tlv.Append(tlv.Append(nil, 0x81, modulus...), 0x82, 0x01, 0x00, 0x01)
			template := tlv.Append(nil, 0x49, inner...)
			const most = 0xFD
			s.ok(putInit(0, o))
			if data := s.ok(command(insPutUpdate, p1More, 0, field(iotsafe.TagPublicKey, template[:most]...))); len(data) > 0 {
				s.fail("an UPDATE that is not the last answered %d bytes", len(data))
			}
			s.ok(putUpdate(0, field(iotsafe.TagPublicKey, template[most:]...)))
			if key := s.readRSA(o); !bytes.Equal(key.N.Bytes(), modulus) || key.E != 65537 {
				s.fail("READ PUBLIC KEY answers another key")
			}
		},
	},
	{
		ID: "3.13-rsa-no-ecdsa", Chapter: "3.13, 2.2", Needs: []Need{RSASigning},
		Title: "An RSA key makes no ECDSA signature",
		run: func(s *Session) {
			o := s.pick(iotsafe.PrivateKey, "active RSA key", func(o iotsafe.Object) bool { return o.KeyType == iotsafe.RSA2048 && o.Active })
			s.refused(command(insSignInit, p1Open, 0, signInit(id(o), iotsafe.PadAndSign)), apdu.WrongData, apdu.ConditionsNot)
		},
	},
}
