package device

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// ErrNoKey says that the SIM holds no key pair to sign with.
var ErrNoKey = errors.New("the SIM holds no activated key pair to sign with: have one generated, or run the onboarding first")

// Signer is a crypto.Signer with the key of the SIM's credential, or, if there is no
// certificate yet, of the first key pair that can sign. ctx bounds every signature.
//
// It also makes certificate requests ([iotsafe.Signer.CertificateRequest]) and web signatures
// and tokens ([iotsafe.Signer.JWS]).
func (d *Device) Signer(ctx context.Context) (*iotsafe.Signer, error) {
	credential, err := d.Credential(ctx)
	switch {
	case err == nil:
		return d.applet.Signer(ctx, credential.PrivateKey, publicKey(credential)), nil
	case !errors.Is(err, ErrNoCredential):
		return nil, err
	}
	objects, err := d.applet.Objects(ctx)
	if err != nil {
		return nil, fmt.Errorf("SIM %s: %w", d.iccid, err)
	}
	for _, private := range objects {
		if private.Kind != iotsafe.PrivateKey || !private.Active || private.Functions&iotsafe.Signing == 0 {
			continue
		}
		for _, public := range objects {
			if public.Kind != iotsafe.PublicKey || !public.Active || !samePair(private, public) {
				continue
			}
			key, err := d.applet.PublicKey(ctx, public.ID)
			if err != nil {
				return nil, fmt.Errorf("SIM %s: %w", d.iccid, err)
			}
			return d.applet.Signer(ctx, private.ID, key), nil
		}
	}
	return nil, fmt.Errorf("SIM %s: %w", d.iccid, ErrNoKey)
}

// CertificateRequest is a PKCS #10 request (RFC 2986), in DER, for the key of
// [Device.Signer] and a subject that names the SIM by its ICCID.
func (d *Device) CertificateRequest(ctx context.Context) ([]byte, error) {
	signer, err := d.Signer(ctx)
	if err != nil {
		return nil, err
	}
	return signer.CertificateRequest(d.iccid)
}

// publicKey is the credential's; keyOf made sure that it is one on an elliptic curve.
func publicKey(c *Credential) *ecdsa.PublicKey {
	key, _ := c.Certificate.PublicKey.(*ecdsa.PublicKey)
	return key
}

// signer is the SIM's signer for handshakes.
func (d *Device) signer(ctx context.Context, c *Credential) crypto.Signer {
	return watchful{d.applet.Signer(context.WithoutCancel(ctx), c.PrivateKey, publicKey(c)), d}
}

// watchful forgets the credential when the SIM no longer signs with its key: another program
// may have had the SIM given a new one, of which no notice came here.
type watchful struct {
	crypto.Signer
	device *Device
}

func (w watchful) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	signature, err := w.Signer.Sign(random, digest, opts)
	if outdated(err) {
		w.device.Forget()
	}
	return signature, err
}

// outdated tells whether a refusal can come of an outdated description of the SIM.
func outdated(err error) bool {
	return iotsafe.Changed(err) || errors.Is(err, apdu.ConditionsNot) ||
		errors.Is(err, apdu.NotFound) || errors.Is(err, apdu.ReferenceNotFound)
}
