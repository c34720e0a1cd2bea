package psktls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"slices"
	"strings"
)

// scheme is a way to sign a CertificateVerify (RFC 8446, 4.2.3).
type scheme struct {
	id    tls.SignatureScheme
	hash  crypto.Hash    // 0: the text itself is signed
	curve elliptic.Curve // of ECDSA, else nil
}

// schemes are all, best first.
var schemes = []*scheme{
	{tls.ECDSAWithP256AndSHA256, crypto.SHA256, elliptic.P256()},
	{tls.Ed25519, 0, nil},
	{tls.ECDSAWithP384AndSHA384, crypto.SHA384, elliptic.P384()},
	{tls.ECDSAWithP521AndSHA512, crypto.SHA512, elliptic.P521()},
	{tls.PSSWithSHA256, crypto.SHA256, nil},
	{tls.PSSWithSHA384, crypto.SHA384, nil},
	{tls.PSSWithSHA512, crypto.SHA512, nil},
}

// insideCertificates are schemes for signatures of CAs only.
var insideCertificates = []tls.SignatureScheme{tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512}

// offeredSchemes is what a client says in signature_algorithms.
func offeredSchemes() []uint16 {
	var ids []uint16
	for _, s := range schemes {
		ids = append(ids, uint16(s.id))
	}
	for _, id := range insideCertificates {
		ids = append(ids, uint16(id))
	}
	return ids
}

// schemeByID is the scheme of that number, nil if there is none.
func schemeByID(id uint16) *scheme {
	i := slices.IndexFunc(schemes, func(s *scheme) bool { return uint16(s.id) == id })
	if i < 0 {
		return nil
	}
	return schemes[i]
}

// fits says whether a key can sign so.
func (s *scheme) fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return s.curve == key.Curve
	case ed25519.PublicKey:
		return s.id == tls.Ed25519
	case *rsa.PublicKey:
		return s.curve == nil && s.hash != 0 && key.Size() >= 2*s.hash.Size()+2 // RFC 8017, 9.1.1
	}
	return false
}

// digest is what goes into the signature algorithm.
func (s *scheme) digest(text []byte) []byte {
	if s.hash == 0 {
		return text
	}
	h := s.hash.New()
	h.Write(text)
	return h.Sum(nil)
}

// options are those of a signer, and say how an RSA signature is padded.
func (s *scheme) options(key crypto.PublicKey) crypto.SignerOpts {
	if _, ok := key.(*rsa.PublicKey); ok {
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash}
	}
	return s.hash
}

// sign signs a text with a key that fits.
func (s *scheme) sign(signer crypto.Signer, text []byte) ([]byte, error) {
	return signer.Sign(rand.Reader, s.digest(text), s.options(signer.Public()))
}

// verify says whether a signature of a text is good. The key fits.
func (s *scheme) verify(key crypto.PublicKey, text, signature []byte) bool {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, s.digest(text), signature)
	case ed25519.PublicKey:
		return ed25519.Verify(key, text, signature)
	case *rsa.PublicKey:
		return rsa.VerifyPSS(key, s.hash, s.digest(text), signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	}
	return false
}

// Who signs a CertificateVerify.
const (
	byServer = "TLS 1.3, server CertificateVerify"
	byClient = "TLS 1.3, client CertificateVerify"
)

// signedText is what a CertificateVerify signs (RFC 8446, 4.4.3), given the hash of the messages
// so far.
func signedText(by string, messages []byte) []byte {
	return append([]byte(strings.Repeat(" ", 64)+by+"\x00"), messages...)
}
