package iotsafe

import (
	"context"
	"fmt"

	"github.com/simroot/simroot/apdu"
)

// Verify makes the applet check a signature of a digest with a public key in the SIM. A
// signature that does not match is an error that wraps [apdu.SignatureMismatch]. An ECDSA
// signature is r and s, 32 bytes each.
func (a *Applet) Verify(ctx context.Context, public ID, s Scheme, digest, signature []byte) error {
	what := Error{Op: opVerify, Kind: PublicKey, ID: public}
	s, field, err := s.digestField(digest)
	if err != nil {
		return what.failed(err)
	}
	return a.verify(ctx, what, s, PadAndSign, field, signature)
}

// VerifyText is [Applet.Verify] for a text that the applet hashes (operation mode 01).
func (a *Applet) VerifyText(ctx context.Context, public ID, s Scheme, text, signature []byte) error {
	what := Error{Op: opVerify, Kind: PublicKey, ID: public}
	field, err := textField(text)
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return what.failed(err)
	}
	return a.verify(ctx, what, s, FullText, field, signature)
}

func (a *Applet) verify(ctx context.Context, what Error, s Scheme, mode Mode, field, signature []byte) error {
	if err := what.ID.Check(); err != nil {
		return what.failed(err)
	}
	if len(signature) != s.signatureSize() {
		return what.failed(fmt.Errorf("a signature of %d bytes: want %d", len(signature), s.signatureSize()))
	}
	if err := a.acquire(ctx); err != nil {
		return what.failed(err)
	}
	defer a.release()
	return a.verifyHeld(ctx, what, s, mode, field, signature)
}

// verifyHeld is verify for those who hold the turn.
func (a *Applet) verifyHeld(ctx context.Context, what Error, s Scheme, mode Mode, field, signature []byte) error {
	data := [][]byte{append(field, signatureField(signature)...)}
	if len(data[0]) > apdu.MaxData {
		data = [][]byte{field, signatureField(signature)}
	}
	_, err := a.session(ctx, what, verifySession, s.parameters(PublicKey, what.ID, mode), data...)
	return err
}

// signatureField is tag 33 with its length of two bytes, the specified form.
func signatureField(signature []byte) []byte {
	n := len(signature)
	return append([]byte{TagSignature, byte(n >> 8), byte(n)}, signature...)
}
