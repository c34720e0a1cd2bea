package iotsafe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// ErrKeyChanged says that a key in the SIM is not the one whose public key a [Signer] was
// given, most likely because remote administration has replaced it.
var ErrKeyChanged = errors.New("the SIM's key does not belong to this public key (any more); read the public key and its certificate again")

// Signer is a crypto.Signer for a P-256 key that stays in the SIM. It is safe for
// concurrent use.
type Signer struct {
	applet  *Applet
	ctx     context.Context
	private ID
	public  *ecdsa.PublicKey

	// checked is one more than the [Applet.Generation] at which a signature was last
	// found to fit the public key.
	checked atomic.Uint64
}

// Signer returns a crypto.Signer for a private key and its public half, as
// [Applet.PublicKey] or a certificate gives it. crypto.Signer has no place for a context:
// ctx bounds every signature, so it must live as long as the Signer is used.
func (a *Applet) Signer(ctx context.Context, private ID, public *ecdsa.PublicKey) *Signer {
	return &Signer{applet: a, ctx: ctx, private: private, public: public}
}

// Public is the public key, an *ecdsa.PublicKey.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign returns the DER form of an ECDSA signature of a SHA-256, SHA-384 or SHA-512
// digest. The random numbers are the SIM's own; the reader is not used.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts == nil {
		return nil, errors.New("iotsafe: sign: the hash function is not given")
	}
	switch h := opts.HashFunc(); h {
	case crypto.SHA256, crypto.SHA384, crypto.SHA512:
		if len(digest) != h.Size() {
			return nil, fmt.Errorf("iotsafe: sign: a digest of %d bytes: %s has %d", len(digest), h, h.Size())
		}
	default:
		return nil, fmt.Errorf("iotsafe: sign: hash function %s: want SHA-256, SHA-384 or SHA-512", h)
	}
	raw, err := s.signRaw(digest)
	if err != nil {
		return nil, err
	}
	return derSignature(raw), nil
}

// signRaw returns r and s.
func (s *Signer) signRaw(digest []byte) ([]byte, error) {
	if s.public == nil || s.public.Curve != elliptic.P256() {
		return nil, errors.New("iotsafe: a signer needs the P-256 public key of its private key")
	}
	raw, generation, err := s.applet.sign(s.ctx, s.private, ECDSAWithSHA256, digest)
	if err != nil {
		return nil, err
	}
	// Remote administration may have put another key there. The first signature is
	// verified, and the first after each notice; no other, for it costs as much as a
	// fast card takes to sign.
	if s.checked.Load() != generation+1 {
		if !ecdsa.VerifyASN1(s.public, digest, derSignature(raw)) {
			return nil, Error{Op: opSign, Kind: PrivateKey, ID: s.private}.failed(ErrKeyChanged)
		}
		s.checked.Store(generation + 1)
	}
	return raw, nil
}
