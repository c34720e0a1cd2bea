package psktls

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hkdf"
	_ "crypto/sha256" // SHA-256 for crypto.Hash
	_ "crypto/sha512" // SHA-384 for crypto.Hash
	"encoding/binary"
	"errors"
	"fmt"
)

// Key is a pre-shared key that is used and never shown.
//
// Implementations may take their time and may fail; an error ends the handshake with an
// internal_error alert and reaches the caller wrapped. They must be safe for concurrent
// use if their Config is.
type Key interface {
	// MasterSecret runs the TLS 1.2 PRF (RFC 5246, 5) with the given hash, label and seed
	// over the premaster secret, and returns 48 bytes. The premaster secret is formed from
	// the PSK as RFC 4279, 2 says if other is nil, and as RFC 5489, 2 says if
	// other is the result of an ECDH exchange.
	MasterSecret(ctx context.Context, hash crypto.Hash, other []byte, label string, seed []byte) ([]byte, error)

	// EarlySecret is HKDF-Extract(0, PSK) of TLS 1.3 (RFC 8446, 7.1), as long as the hash.
	// See the package comment for what its holder can do.
	EarlySecret(ctx context.Context, hash crypto.Hash) ([]byte, error)
}

// SecretKey is a key in memory, for servers without an HSM and for tests. It copies psk.
// Printing it shows nothing of the secret.
func SecretKey(psk []byte) Key { return &secretKey{psk: bytes.Clone(psk)} }

// masterSecretLen is the length of a TLS 1.2 master secret in bytes (RFC 5246, 8.1).
const masterSecretLen = 48

// maxPSK is what the two length bytes of RFC 4279's premaster secret allow.
const maxPSK = 1<<16 - 1

// secretKey implements Key and the Formatter that keeps it out of logs.
type secretKey struct{ psk []byte }

// MasterSecret implements [Key].
func (k *secretKey) MasterSecret(_ context.Context, hash crypto.Hash, other []byte, label string, seed []byte) ([]byte, error) {
	if err := k.check(hash); err != nil {
		return nil, err
	}
	if len(other) > maxPSK {
		return nil, fmt.Errorf("psktls: an ECDH result of %d bytes: more than %d cannot be part of a premaster secret", len(other), maxPSK)
	}
	secret := premaster(k.psk, other)
	defer clear(secret)
	return prf(hash, secret, label, seed, masterSecretLen), nil
}

// EarlySecret implements [Key].
func (k *secretKey) EarlySecret(_ context.Context, hash crypto.Hash) ([]byte, error) {
	if err := k.check(hash); err != nil {
		return nil, err
	}
	return hkdf.Extract(hash.New, k.psk, nil)
}

// SealedKey is a key that lies sealed somewhere and is opened anew for each use: open returns the
// secret in memory of its own, which is wiped as soon as something was derived from it.
func SealedKey(open func(context.Context) ([]byte, error)) Key { return sealedKey{open} }

type sealedKey struct {
	open func(context.Context) ([]byte, error)
}

// MasterSecret implements [Key].
func (k sealedKey) MasterSecret(ctx context.Context, hash crypto.Hash, other []byte, label string, seed []byte) ([]byte, error) {
	psk, err := k.open(ctx)
	defer clear(psk)
	if err != nil {
		return nil, err
	}
	return (&secretKey{psk}).MasterSecret(ctx, hash, other, label, seed)
}

// EarlySecret implements [Key].
func (k sealedKey) EarlySecret(ctx context.Context, hash crypto.Hash) ([]byte, error) {
	psk, err := k.open(ctx)
	defer clear(psk)
	if err != nil {
		return nil, err
	}
	return (&secretKey{psk}).EarlySecret(ctx, hash)
}

func (k *secretKey) check(hash crypto.Hash) error {
	if hash != crypto.SHA256 && hash != crypto.SHA384 {
		return fmt.Errorf("psktls: hash %v: only SHA-256 and SHA-384 are used with TLS 1.2 and 1.3", hash)
	}
	if n := len(k.psk); n == 0 || n > maxPSK {
		return fmt.Errorf("psktls: a pre-shared key of %d bytes: it must have 1 to %d", n, maxPSK)
	}
	return nil
}

// Format writes the same for every key and verb.
func (k *secretKey) Format(f fmt.State, _ rune) { f.Write([]byte("psktls.SecretKey(hidden)")) } //nolint:errcheck // fmt reports it

// premaster forms the premaster secret of RFC 4279, 2 (other is nil: as many zeros as the
// PSK has bytes) or RFC 5489, 2.
func premaster(psk, other []byte) []byte {
	n := len(other)
	if other == nil {
		n = len(psk)
	}
	p := make([]byte, 0, 4+n+len(psk))
	p = binary.BigEndian.AppendUint16(p, uint16(n))
	if other == nil {
		p = p[:2+n]
	} else {
		p = append(p, other...)
	}
	p = binary.BigEndian.AppendUint16(p, uint16(len(psk)))
	return append(p, psk...)
}

// ErrUnknownIdentity is what [Config.GetKey] returns for an identity that has no key. The
// peer is not told: it sees what it would see with a wrong key.
var ErrUnknownIdentity = errors.New("psktls: unknown PSK identity")
