package ocsp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Response statuses (RFC 6960, 4.2.1) that come without a signature.
const (
	malformedRequest = 1
	internalError    = 2
	unauthorized     = 6
)

// bare is a response that says only why there is none.
func bare(status byte) []byte { return []byte{0x30, 0x03, 0x0A, 0x01, status} }

// signer signs answers with a key that lives only in this process, under a certificate of the CA.
type signer struct {
	key         *ecdsa.PrivateKey
	certificate *x509.Certificate
	id          [sha1.Size]byte // of the key: the responder's name
}

func newSigner(certify func(crypto.PublicKey, time.Time) (*x509.Certificate, error), now time.Time) (*signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := certify(&key.PublicKey, now)
	if err != nil {
		return nil, err
	}
	bits, err := publicKeyBits(certificate)
	if err != nil {
		return nil, err
	}
	return &signer{key: key, certificate: certificate, id: sha1.Sum(bits)}, nil
}

// publicKeyBits is the key of a certificate without tag, length and algorithm.
func publicKeyBits(c *x509.Certificate) ([]byte, error) {
	input := cryptobyte.String(c.RawSubjectPublicKeyInfo)
	var info cryptobyte.String
	var bits []byte
	if !input.ReadASN1(&info, asn1.SEQUENCE) || !info.SkipASN1(asn1.SEQUENCE) || !info.ReadASN1BitStringAsBytes(&bits) {
		return nil, errMalformed
	}
	return bits, nil
}

// sign makes a response with the status of each certificate.
func (s *signer) sign(asked []certID, statuses []status, nonce []byte, produced, next time.Time) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { // ResponseData
		b.AddASN1(tagged(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(s.id[:]) })
		b.AddASN1GeneralizedTime(produced)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for i, id := range asked {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddBytes(id.raw)
					statuses[i].add(b)
					b.AddASN1GeneralizedTime(produced)
					b.AddASN1(tagged(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(next) })
				})
			}
		})
		if nonce != nil {
			b.AddASN1(tagged(1), func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidNonce)
						b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) { b.AddASN1OctetString(nonce) })
					})
				})
			})
		}
	})
	data, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(data)
	signature, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		return nil, err
	}
	return s.wrap(data, signature)
}

// wrap puts signed data into an OCSPResponse.
func (s *signer) wrap(data, signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0) // successful
		b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidBasic)
				b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(data)
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidECDSA) })
						b.AddASN1BitString(signature)
						b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
							b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(s.certificate.Raw) })
						})
					})
				})
			})
		})
	})
	return b.Bytes()
}

// add writes a CertStatus.
func (s status) add(b *cryptobyte.Builder) {
	switch s.kind {
	case good:
		b.AddASN1(asn1.Tag(0).ContextSpecific(), func(*cryptobyte.Builder) {})
	case revoked:
		b.AddASN1(tagged(1), func(b *cryptobyte.Builder) {
			b.AddASN1GeneralizedTime(s.since)
			if s.code != 0 { // unspecified is better left out (RFC 5280, 5.3.1)
				b.AddASN1(tagged(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(int64(s.code)) })
			}
		})
	default:
		b.AddASN1(asn1.Tag(2).ContextSpecific(), func(*cryptobyte.Builder) {})
	}
}
