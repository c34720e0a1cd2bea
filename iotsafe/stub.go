package iotsafe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"io"

	"github.com/simroot/simroot/apdu"
)

var errStub = errors.New("not built yet")

// Error is a refusal by the card.
type Error struct {
	Op   string
	Kind Kind
	ID   ID
	SW   apdu.SW
}

func (e *Error) Error() string { return e.Op }
func (e *Error) Unwrap() error { return e.SW }

// Changed tells whether err says that remote administration is changing or has changed the object.
func Changed(err error) bool { return false }

// Info asks what the applet offers.
func (a *Applet) Info(ctx context.Context) (Info, error) { return Info{}, errStub }

// Objects lists the store.
func (a *Applet) Objects(ctx context.Context) ([]Object, error) { return nil, errStub }

// Object describes one object.
func (a *Applet) Object(ctx context.Context, kind Kind, id ID) (Object, error) {
	return Object{}, errStub
}

// Random returns n random bytes.
func (a *Applet) Random(ctx context.Context, n int) ([]byte, error) { return nil, errStub }

// Rand is the applet's random generator.
func (a *Applet) Rand(ctx context.Context) io.Reader { return nil }

// ReadFile reads a file.
func (a *Applet) ReadFile(ctx context.Context, id ID, size int) ([]byte, error) { return nil, errStub }

// PublicKey reads a public key.
func (a *Applet) PublicKey(ctx context.Context, id ID) (*ecdsa.PublicKey, error) { return nil, errStub }

// KeyPair is a key pair in the applet.
type KeyPair struct {
	Private, Public ID
	Key             *ecdsa.PublicKey
}

// GenerateKeyPair makes a key pair.
func (a *Applet) GenerateKeyPair(ctx context.Context, private ID) (KeyPair, error) {
	return KeyPair{}, errStub
}

// Sign signs a digest.
func (a *Applet) Sign(ctx context.Context, private ID, digest []byte) ([]byte, error) {
	return nil, errStub
}

// Signer is a crypto.Signer.
type Signer struct{ public *ecdsa.PublicKey }

// Signer returns a crypto.Signer.
func (a *Applet) Signer(ctx context.Context, private ID, public *ecdsa.PublicKey) *Signer {
	return &Signer{public: public}
}

// Public is the public key.
func (s *Signer) Public() crypto.PublicKey { return s.public }

// Sign signs a digest.
func (s *Signer) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return nil, errStub
}
