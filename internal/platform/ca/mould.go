package ca

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/simroot/simroot/card"
)

// shape is what certificates of SIMs have in common: all but the serial number, the times, the
// ICCID, the key and its identifier.
type shape struct {
	organization, fleet string
	list                string // distribution point of the revocation list
}

// moulds are shapes that have passed the linter. The first certificate of a shape is linted as
// any other, and leaves its mould; those after it are cast: the mould, with their own five fields.
// What these fields could be wrong in, fits sees to, and what does not fit is linted by itself. It
// is worth it: the linter takes longer than everything else about a certificate together.
//
// Moulds last for a day, counted as the certificates begin: rules of the linter have days from which
// they hold.
type moulds struct {
	mu      sync.Mutex
	day     time.Time
	byShape map[shape]*mould
}

// maxMoulds bounds how many are kept.
const maxMoulds = 1 << 12

// mould is a certificate that has passed, without what is its own (RFC 5280, 4.1).
type mould struct {
	names      []byte // signature algorithm and issuer
	extensions []byte
	keyID      int // where in the extensions the key's identifier is
}

// prepare returns the part to be signed of a template, which has passed the linter or comes from a
// mould that has.
func (m *moulds) prepare(s Subject, template *x509.Certificate, l *linter) ([]byte, error) {
	if !fits(s.ICCID, template.PublicKey.(*ecdsa.PublicKey)) {
		return l.check(template)
	}
	of := shape{s.Organization, s.Fleet, strings.Join(template.CRLDistributionPoints, " ")}
	day := template.NotBefore.Truncate(24 * time.Hour)
	if known := m.find(of, day); known != nil {
		return known.cast(template)
	}
	tbs, err := l.check(template)
	if err != nil {
		return nil, err
	}
	made, err := newMould(tbs, template.SubjectKeyId)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", template.Subject, err)
	}
	// It is proved by the certificate that it was made from.
	if again, err := made.cast(template); err != nil || !bytes.Equal(again, tbs) {
		return nil, errors.Join(fmt.Errorf("%s: cast anew, it is another certificate", template.Subject), err)
	}
	m.keep(of, day, made)
	return tbs, nil
}

func (m *moulds) find(of shape, day time.Time) *mould {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.day.Equal(day) {
		return nil
	}
	return m.byShape[of]
}

func (m *moulds) keep(of shape, day time.Time, made *mould) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.day.Equal(day) || len(m.byShape) == maxMoulds {
		m.day, m.byShape = day, map[shape]*mould{}
	}
	m.byShape[of] = made
}

// newMould takes the mould off a certificate.
func newMould(tbs, keyID []byte) (*mould, error) {
	var all, algorithm, issuer, extensions cryptobyte.String
	input := cryptobyte.String(tbs)
	if !input.ReadASN1(&all, tag.SEQUENCE) || !all.SkipASN1(inTag(0)) || !all.SkipASN1(tag.INTEGER) || // version, serial number
		!all.ReadASN1Element(&algorithm, tag.SEQUENCE) || !all.ReadASN1Element(&issuer, tag.SEQUENCE) ||
		!all.SkipASN1(tag.SEQUENCE) || !all.SkipASN1(tag.SEQUENCE) || !all.SkipASN1(tag.SEQUENCE) || // validity, subject, key
		!all.ReadASN1Element(&extensions, inTag(3)) {
		return nil, errors.New("it has not the form of a certificate of a SIM")
	}
	return &mould{slices.Concat(algorithm, issuer), extensions, bytes.Index(extensions, keyID)}, nil
}

// cast fills the mould with what is a certificate's own.
func (m *mould) cast(template *x509.Certificate) ([]byte, error) {
	subject, err := asn1.Marshal(template.Subject.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	point, err := template.PublicKey.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 512))
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(inTag(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) }) // that is X.509 v3
		b.AddASN1BigInt(template.SerialNumber)
		b.AddBytes(m.names)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, template.NotBefore)
			addTime(b, template.NotAfter)
		})
		b.AddBytes(subject)
		b.AddBytes(spkiP256)
		b.AddBytes(point)
		b.AddBytes(m.extensions[:m.keyID])
		b.AddBytes(template.SubjectKeyId)
		b.AddBytes(m.extensions[m.keyID+len(template.SubjectKeyId):])
	})
	return b.Bytes()
}

// addTime adds a time as RFC 5280, 4.1.2.5, wants it.
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

func inTag(n uint8) tag.Tag { return tag.Tag(n).ContextSpecific().Constructed() }

// spkiP256 is a SubjectPublicKeyInfo of P-256 up to its point (RFC 5480, 2), which is not compressed.
var spkiP256 = []byte{
	0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, // id-ecPublicKey
	0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, // secp256r1
	0x03, 0x42, 0x00,
}

// fits tells whether nothing that the linter would refuse is in what is a certificate's own. The
// serial number and the times are made here, and are as they should be.
func fits(iccid string, key *ecdsa.PublicKey) bool {
	if _, err := card.ParseICCID(iccid); err != nil {
		return false
	}
	point, err := key.Bytes()
	return err == nil && !smallKeys()[[fieldSize]byte(point[1:])]
}

// fieldSize is the length of a coordinate on P-256, in bytes.
const fieldSize = 32

// smallKeys are the public keys, by their first coordinate, whose private key is a number of so few
// bits that anybody finds it. A device whose randomness is broken may have one.
var smallKeys = sync.OnceValue(func() map[[fieldSize]byte]bool {
	all := map[[fieldSize]byte]bool{}
	for n := 1; n < 1<<smallKeyBits; n++ {
		var scalar [fieldSize]byte
		binary.BigEndian.PutUint16(scalar[fieldSize-2:], uint16(n))
		key, err := ecdh.P256().NewPrivateKey(scalar[:])
		if err != nil {
			panic(err) // these are in range
		}
		all[[fieldSize]byte(key.PublicKey().Bytes()[1:])] = true
	}
	return all
})
