package applet

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"math/big"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet/brainpool"
)

// Sizes of keys in containers, in bytes.
const (
	scalarSize     = 32
	pointSize      = 65
	rsaPrivateSize = 1216 // at most, as PKCS#1 has it
	rsaPublicSize  = 272  // at most
)

// Sizes of signatures, in bytes.
const (
	halfSize      = 32 // of r and of s
	signatureSize = 2 * halfSize
	rsaSize       = 256
)

var errAlgorithm = errors.New("the key is of another algorithm")

// privateKey is a private key of one of the kinds that a container holds.
type privateKey interface {
	// sign returns r‖s, each of fixed width, or an RSA signature. Only the first 256
	// bits of a digest count on a curve; for RSA it has the size of the hash.
	sign(algorithm iotsafe.SignatureAlgorithm, h crypto.Hash, digest []byte) ([]byte, error)

	// public is the content of the public half's container.
	public() ([]byte, error)
}

// newPrivateKey generates a key, and returns what the halves' containers hold.
func newPrivateKey(t iotsafe.KeyType) (private, public []byte, err error) {
	switch {
	case t == iotsafe.RSA2048:
		key, err := rsa.GenerateKey(rand.Reader, 8*rsaSize)
		if err != nil {
			return nil, nil, err
		}
		return x509.MarshalPKCS1PrivateKey(key), x509.MarshalPKCS1PublicKey(&key.PublicKey), nil
	case isBrainpool(t):
		return brainpool.GenerateKey()
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if private, err = key.Bytes(); err != nil {
		return nil, nil, err
	}
	public, err = key.PublicKey.Bytes()
	return private, public, err
}

// parsePrivateKey reads the content of a private key's container.
func parsePrivateKey(c *Container) (privateKey, error) {
	switch t := c.Object.KeyType; {
	case t == iotsafe.RSA2048:
		key, err := x509.ParsePKCS1PrivateKey(c.Content)
		if err != nil {
			return nil, err
		}
		return rsaKey{key}, nil
	case isBrainpool(t):
		return brainpoolKey(c.Content), nil
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), c.Content)
	if err != nil {
		return nil, err
	}
	return p256Key{key}, nil
}

// key is the private key in container c of the state. Parsing takes longer than signing,
// so it is done once.
func (a *Applet) key(c *Container) (privateKey, bool) {
	if key, ok := a.keys[c.Object.ID]; ok {
		return key, true
	}
	key, err := parsePrivateKey(c)
	if err != nil {
		return nil, false
	}
	a.keys[c.Object.ID] = key
	return key, true
}

func isBrainpool(t iotsafe.KeyType) bool {
	return t == iotsafe.BrainpoolP256Persist || t == iotsafe.BrainpoolP256Volatile
}

func isVolatile(t iotsafe.KeyType) bool {
	return t == iotsafe.P256Volatile || t == iotsafe.BrainpoolP256Volatile
}

// family sorts key types by what their keys can be used with.
func family(t iotsafe.KeyType) iotsafe.KeyType {
	switch t {
	case iotsafe.P256Volatile:
		return iotsafe.P256Persistent
	case iotsafe.BrainpoolP256Volatile:
		return iotsafe.BrainpoolP256Persist
	}
	return t
}

// signsWith tells whether keys of a type know an algorithm.
func signsWith(t iotsafe.KeyType, s iotsafe.SignatureAlgorithm) bool {
	return (t == iotsafe.RSA2048) == (s != iotsafe.ECDSA)
}

// p256Key is a private key on P-256.
type p256Key struct{ *ecdsa.PrivateKey }

func (k p256Key) sign(algorithm iotsafe.SignatureAlgorithm, _ crypto.Hash, digest []byte) ([]byte, error) {
	if algorithm != iotsafe.ECDSA {
		return nil, errAlgorithm
	}
	r, s, err := ecdsa.Sign(rand.Reader, k.PrivateKey, digest)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, signatureSize)
	r.FillBytes(signature[:halfSize])
	s.FillBytes(signature[halfSize:])
	return signature, nil
}

func (k p256Key) public() ([]byte, error) { return k.PublicKey.Bytes() }

// brainpoolKey is a private key on brainpoolP256r1.
type brainpoolKey []byte

func (k brainpoolKey) sign(algorithm iotsafe.SignatureAlgorithm, _ crypto.Hash, digest []byte) ([]byte, error) {
	if algorithm != iotsafe.ECDSA {
		return nil, errAlgorithm
	}
	return brainpool.Sign(k, digest)
}

func (k brainpoolKey) public() ([]byte, error) { return brainpool.PublicKey(k) }

// rsaKey is an RSA private key of 2048 bits.
type rsaKey struct{ *rsa.PrivateKey }

// pss has a salt as long as the digest.
var pss = &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}

func (k rsaKey) sign(algorithm iotsafe.SignatureAlgorithm, h crypto.Hash, digest []byte) ([]byte, error) {
	switch algorithm {
	case iotsafe.RSAPKCS1v15:
		return rsa.SignPKCS1v15(rand.Reader, k.PrivateKey, h, digest)
	case iotsafe.RSAPSS:
		return rsa.SignPSS(rand.Reader, k.PrivateKey, h, digest, pss)
	}
	return nil, errAlgorithm
}

func (k rsaKey) public() ([]byte, error) { return x509.MarshalPKCS1PublicKey(&k.PublicKey), nil }

// verifies tells whether a signature of a digest is by the private half of the public
// key in container c. ok is false if that container is damaged.
func verifies(c *Container, algorithm iotsafe.SignatureAlgorithm, h crypto.Hash, digest, signature []byte) (good, ok bool) {
	switch t := c.Object.KeyType; {
	case t == iotsafe.RSA2048:
		key, err := x509.ParsePKCS1PublicKey(c.Content)
		if err != nil {
			return false, false
		}
		if algorithm == iotsafe.RSAPSS {
			return rsa.VerifyPSS(key, h, digest, signature, pss) == nil, true
		}
		return rsa.VerifyPKCS1v15(key, h, digest, signature) == nil, true
	case isBrainpool(t):
		return brainpool.Verify(c.Content, digest, signature), brainpool.CheckPoint(c.Content) == nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), c.Content)
	if err != nil {
		return false, false
	}
	r, s := new(big.Int).SetBytes(signature[:halfSize]), new(big.Int).SetBytes(signature[halfSize:])
	return ecdsa.Verify(key, digest, r, s), true
}

// agree is the shared secret of a private key's container and a public key's, of the same
// curve.
func (a *Applet) agree(private, public *Container) ([]byte, error) {
	key, ok := a.key(private)
	if !ok {
		return nil, errors.New("the private key is damaged")
	}
	switch k := key.(type) {
	case brainpoolKey:
		return brainpool.SharedSecret(k, public.Content)
	case p256Key:
		peer, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public.Content)
		if err != nil {
			return nil, err
		}
		theirs, err := peer.ECDH()
		if err != nil {
			return nil, err
		}
		ours, err := k.ECDH()
		if err != nil {
			return nil, err
		}
		return ours.ECDH(theirs)
	}
	return nil, errAlgorithm
}

// publicKeyData is tag 34 for the content of a public key's container.
func publicKeyData(dst []byte, c *Container) ([]byte, error) {
	switch t := c.Object.KeyType; {
	case t == iotsafe.RSA2048:
		key, err := x509.ParsePKCS1PublicKey(c.Content)
		if err != nil {
			return nil, err
		}
		return iotsafe.AppendAnyPublicKey(dst, key)
	case isBrainpool(t):
		if err := brainpool.CheckPoint(c.Content); err != nil {
			return nil, err
		}
		return iotsafe.AppendAnyPublicKey(dst, iotsafe.Point(c.Content))
	}
	// Whether the point is on the curve was found out when it came in.
	return iotsafe.AppendAnyPublicKey(dst, iotsafe.Point(c.Content))
}

// publicKeyContent is what a container of the given type holds for public key data (tag
// 34). A key of another type or off its curve is refused.
func publicKeyContent(t iotsafe.KeyType, data []byte) ([]byte, error) {
	key, err := iotsafe.ParseAnyPublicKey(data)
	if err != nil {
		return nil, err
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		if t == iotsafe.RSA2048 {
			return x509.MarshalPKCS1PublicKey(key), nil
		}
	case *ecdsa.PublicKey:
		if family(t) == iotsafe.P256Persistent {
			return key.Bytes()
		}
	case iotsafe.Point:
		if isBrainpool(t) {
			return key, brainpool.CheckPoint(key)
		}
	}
	return nil, errAlgorithm
}
