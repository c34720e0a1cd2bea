// Package brainpool is the elliptic curve brainpoolP256r1 (RFC 5639), which IoT SAFE
// allows beside P-256 and Go's standard library does not have: key generation, ECDSA
// (FIPS 186-5, clause 6) and elliptic curve Diffie-Hellman.
//
// It is for the virtual SIM, which has no secrets that its machine does not know anyway:
// the arithmetic is that of math/big, short and plain, and its time depends on the
// numbers. Do not use it where somebody may measure how long it takes.
package brainpool

import (
	"crypto/rand"
	"errors"
	"math/big"
)

// Errors of keys and signatures.
var (
	ErrPoint  = errors.New("brainpool: not an uncompressed point of brainpoolP256r1")
	ErrScalar = errors.New("brainpool: a private key is a number from 1 to the curve's order less one, in 32 bytes")
)

// GenerateKey returns a new private key and its public point.
func GenerateKey() (scalar, public []byte, err error) {
	k, err := random()
	if err != nil {
		return nil, nil, err
	}
	return k.FillBytes(make([]byte, Size)), base.times(k).bytes(), nil
}

// random is a number from 1 to q-1.
func random() (*big.Int, error) {
	k, err := rand.Int(rand.Reader, new(big.Int).Sub(q, big.NewInt(1)))
	if err != nil {
		return nil, err
	}
	return k.Add(k, big.NewInt(1)), nil
}

// PublicKey is the public point of a private key.
func PublicKey(scalar []byte) ([]byte, error) {
	k, err := parseScalar(scalar)
	if err != nil {
		return nil, err
	}
	return base.times(k).bytes(), nil
}

// CheckPoint tells whether b is an uncompressed point of the curve.
func CheckPoint(b []byte) error {
	_, err := parsePoint(b)
	return err
}

// SharedSecret is the x coordinate of the product of a private key and a peer's public
// point, 32 bytes.
func SharedSecret(scalar, peer []byte) ([]byte, error) {
	k, err := parseScalar(scalar)
	if err != nil {
		return nil, err
	}
	u, err := parsePoint(peer)
	if err != nil {
		return nil, err
	}
	x, _ := u.times(k).affine() // not infinity: the order is prime and k is smaller
	return x.FillBytes(make([]byte, Size)), nil
}

// Sign returns the signature r‖s of a digest, of which the first 256 bits count.
func Sign(scalar, digest []byte) ([]byte, error) {
	d, err := parseScalar(scalar)
	if err != nil {
		return nil, err
	}
	e := truncate(digest)
	for {
		k, err := random()
		if err != nil {
			return nil, err
		}
		x, _ := base.times(k).affine()
		r := x.Mod(x, q)
		s := new(big.Int).Mul(r, d)
		s.Add(s, e)
		s.Mul(s, new(big.Int).ModInverse(k, q))
		s.Mod(s, q)
		if r.Sign() == 0 || s.Sign() == 0 {
			continue
		}
		signature := make([]byte, 2*Size)
		r.FillBytes(signature[:Size])
		s.FillBytes(signature[Size:])
		return signature, nil
	}
}

// Verify tells whether r‖s is a signature of the digest.
func Verify(public, digest, signature []byte) bool {
	u, err := parsePoint(public)
	if err != nil || len(signature) != 2*Size {
		return false
	}
	r, s := new(big.Int).SetBytes(signature[:Size]), new(big.Int).SetBytes(signature[Size:])
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(q) >= 0 || s.Cmp(q) >= 0 {
		return false
	}
	w := new(big.Int).ModInverse(s, q)
	byBase, byKey := truncate(digest), new(big.Int).Mul(r, w)
	byBase.Mul(byBase, w)
	sum := base.times(byBase.Mod(byBase, q)).add(u.times(byKey.Mod(byKey, q)))
	if sum.isInfinity() {
		return false
	}
	x, _ := sum.affine()
	return x.Mod(x, q).Cmp(r) == 0
}

// truncate is the number that the first 256 bits of a digest are.
func truncate(digest []byte) *big.Int { return new(big.Int).SetBytes(digest[:min(len(digest), Size)]) }

func parseScalar(scalar []byte) (*big.Int, error) {
	k := new(big.Int).SetBytes(scalar)
	if len(scalar) != Size || k.Sign() == 0 || k.Cmp(q) >= 0 {
		return nil, ErrScalar
	}
	return k, nil
}

func parsePoint(encoded []byte) (point, error) {
	if len(encoded) != PointSize || encoded[0] != 0x04 {
		return point{}, ErrPoint
	}
	x, y := new(big.Int).SetBytes(encoded[1:1+Size]), new(big.Int).SetBytes(encoded[1+Size:])
	if x.Cmp(p) >= 0 || y.Cmp(p) >= 0 {
		return point{}, ErrPoint
	}
	right := add(mul(add(mul(x, x), a), x), b)
	if mul(y, y).Cmp(right) != 0 {
		return point{}, ErrPoint
	}
	return point{x, y, big.NewInt(1)}, nil
}
