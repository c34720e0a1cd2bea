package ca

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

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

// mould is a certificate that has passed, without what is its own.
type mould struct {
	issuer     asn1.RawValue
	extensions []pkix.Extension
	keyID      int // which of them is the key's identifier
}

// tbsCertificate is the part that is signed (RFC 5280, 4.1), as far as certificates of SIMs have it.
type tbsCertificate struct {
	Version    int `asn1:"explicit,tag:0"`
	Serial     *big.Int
	Algorithm  pkix.AlgorithmIdentifier
	Issuer     asn1.RawValue
	Validity   validity
	Subject    asn1.RawValue
	Key        asn1.RawValue
	Extensions []pkix.Extension `asn1:"explicit,tag:3"`
}

type validity struct{ NotBefore, NotAfter time.Time }

var oidSubjectKeyID = asn1.ObjectIdentifier{2, 5, 29, 14} // RFC 5280, 4.2.1.2

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
	made, err := newMould(tbs)
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
func newMould(tbs []byte) (*mould, error) {
	var c tbsCertificate
	if _, err := asn1.Unmarshal(tbs, &c); err != nil {
		return nil, err
	}
	keyID := slices.IndexFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidSubjectKeyID) })
	if keyID < 0 {
		return nil, errors.New("it has no identifier of its key")
	}
	return &mould{c.Issuer, c.Extensions, keyID}, nil
}

// cast fills the mould with what is a certificate's own.
func (m *mould) cast(template *x509.Certificate) ([]byte, error) {
	subject, err := asn1.Marshal(template.Subject.ToRDNSequence())
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKIXPublicKey(template.PublicKey)
	if err != nil {
		return nil, err
	}
	keyID, err := asn1.Marshal(template.SubjectKeyId)
	if err != nil {
		return nil, err
	}
	extensions := slices.Clone(m.extensions)
	extensions[m.keyID].Value = keyID
	return asn1.Marshal(tbsCertificate{
		Version: 2, // that is X.509 v3
		Serial:  template.SerialNumber, Algorithm: pkix.AlgorithmIdentifier{Algorithm: ecdsaWithSHA256},
		Issuer: m.issuer, Validity: validity{template.NotBefore, template.NotAfter},
		Subject: asn1.RawValue{FullBytes: subject}, Key: asn1.RawValue{FullBytes: key}, Extensions: extensions,
	})
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
