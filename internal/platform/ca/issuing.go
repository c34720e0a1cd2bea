package ca

import (
	"crypto/rand"
	"crypto/x509"
	"math/big"

	"github.com/simroot/simroot/internal/platform/store"
)

// Issuing is an issuing CA of a platform.
type Issuing struct {
	Number      int // from 1 on: 2 is the CA that follows 1
	Certificate *x509.Certificate
	RootCRL     []byte // of the root above, in DER, nil if there is none; see [CA.RootCRL]

	by   *generation
	step int64
}

// On is as [Prepared.On].
func (i Issuing) On(tx store.Tx) error { return on(tx, i.step) }

// Has tells whether this is the CA that the certificate with this serial number (see [SerialText]) is of.
func (i Issuing) Has(serial string) bool {
	n, err := ParseSerial(serial)
	return err == nil && issuerOf(n) == i.Number
}

// Trusted are the issuing CAs whose certificates may be in use, the one that issues first: during a rollover
// the next one or the one before is among them.
func (c *CA) Trusted() (all []Issuing) {
	l := c.line.Load()
	for _, g := range l.all() {
		all = append(all, Issuing{g.number, g.issuer, g.rootCRL, g, l.step})
	}
	return all
}

// Serial numbers tell which CA has issued: no two CAs of a platform give the same one, and what is
// stored of a certificate by its number belongs to one CA's list. A serial number of the first CA is 16
// random bytes; those of others begin with two bytes more, which are firstOther and the CA's number.
const (
	randomBits = 128
	firstOther = 0x4000 // so that the number is positive, and never short
)

// newSerial is a serial number of a CA (RFC 5280, 4.1.2.2).
func newSerial(ca int) (*big.Int, error) {
	var b [randomBits / 8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, err
	}
	if ca == 1 {
		b[0] = b[0]&0x7F | 0x40
		return new(big.Int).SetBytes(b[:]), nil
	}
	n := big.NewInt(int64(firstOther + ca))
	return n.Lsh(n, randomBits).Or(n, new(big.Int).SetBytes(b[:])), nil
}

// issuerOf is the number of the CA that has given a serial number.
func issuerOf(serial *big.Int) int {
	prefix := new(big.Int).Rsh(serial, randomBits)
	if prefix.Sign() == 0 {
		return 1
	}
	if !prefix.IsInt64() || prefix.Int64() <= firstOther {
		return 0 // none
	}
	return int(prefix.Int64() - firstOther)
}
