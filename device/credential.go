package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/iotsafe"
)

// ErrNoCredential says that the SIM holds no certificate and key pair that can be used.
var ErrNoCredential = errors.New("the SIM holds no activated certificate with its key: run the onboarding first")

// Credential is a certificate on the SIM and the key pair it belongs to.
type Credential struct {
	PrivateKey, PublicKey iotsafe.ID
	Certificate           *x509.Certificate

	// Anchors are the CA certificates that the SIM carries beside it.
	Anchors []*x509.Certificate
}

// Credential finds the SIM's credential: the activated certificate whose key the SIM can
// sign with, and the youngest if there are several. It is read once and kept until the
// SIM says that its store has changed.
func (d *Device) Credential(ctx context.Context) (*Credential, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.credential != nil && d.generation == d.applet.Generation() {
		return d.credential, nil
	}
	generation := d.applet.Generation()
	found, err := readCredential(ctx, d.applet, d.only)
	if err != nil {
		return nil, fmt.Errorf("SIM %s: %w", d.iccid, err)
	}
	d.credential, d.generation = found, generation
	return found, nil
}

// forget makes the next use read the SIM again.
func (d *Device) forget() {
	d.mu.Lock()
	d.credential = nil
	d.mu.Unlock()
}

func readCredential(ctx context.Context, applet *iotsafe.Applet, only *api.Credential) (*Credential, error) {
	objects, err := applet.Objects(ctx)
	if err != nil {
		return nil, err
	}
	var best *Credential
	var anchors []*x509.Certificate
	for _, file := range objects {
		if file.Kind != iotsafe.File || !file.Active || file.Usage != iotsafe.X509Certificate {
			continue
		}
		certificate, err := readCertificate(ctx, applet, file)
		if err != nil {
			return nil, err
		}
		if certificate.IsCA {
			anchors = append(anchors, certificate)
			continue
		}
		if only != nil && !bytes.Equal(certificate.Raw, only.Certificate) {
			continue
		}
		private, public, err := keyOf(ctx, applet, objects, file, certificate, only != nil)
		if err != nil {
			return nil, err
		}
		if private == "" || best != nil && !certificate.NotBefore.After(best.Certificate.NotBefore) {
			continue
		}
		best = &Credential{PrivateKey: private, PublicKey: public, Certificate: certificate}
	}
	if best == nil {
		return nil, ErrNoCredential
	}
	best.Anchors = anchors
	return best, nil
}

func readCertificate(ctx context.Context, applet *iotsafe.Applet, file iotsafe.Object) (*x509.Certificate, error) {
	der, err := applet.ReadFile(ctx, file.ID, file.Size)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(trim(der))
	if err != nil {
		return nil, fmt.Errorf("file %s says that it is a certificate and is none: %w", file.ID, err)
	}
	return certificate, nil
}

// trim cuts the zeros with which some cards pad a file to the size of its container.
func trim(der []byte) []byte {
	if len(der) < 4 || der[0] != 0x30 || der[1] != 0x82 {
		return der
	}
	if n := 4 + int(der[2])<<8 + int(der[3]); n < len(der) {
		return der[:n]
	}
	return der
}

// keyOf finds the key pair of a certificate. A pair with the certificate's own label is
// taken at its word, which saves reading public keys; without one, the public keys of all
// signing pairs are compared. A pair whose public half is off is on trial, and counts only
// where that is asked for.
func keyOf(ctx context.Context, applet *iotsafe.Applet, objects []iotsafe.Object, file iotsafe.Object, certificate *x509.Certificate, onTrial bool) (private, public iotsafe.ID, err error) {
	want, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return "", "", nil
	}
	var pairs [][2]iotsafe.Object
	for _, key := range objects {
		if key.Kind != iotsafe.PrivateKey || !key.Active || key.Functions&iotsafe.Signing == 0 {
			continue
		}
		for _, half := range objects {
			if half.Kind == iotsafe.PublicKey && half.Active != onTrial && samePair(key, half) {
				pairs = append(pairs, [2]iotsafe.Object{key, half})
				break
			}
		}
	}
	for _, p := range pairs {
		if file.Label != "" && p[0].Label == file.Label {
			return p[0].ID, p[1].ID, nil
		}
	}
	for _, p := range pairs {
		key, err := applet.PublicKey(ctx, p[1].ID)
		if err != nil {
			return "", "", err
		}
		if key.Equal(want) {
			return p[0].ID, p[1].ID, nil
		}
	}
	return "", "", nil
}

// samePair tells whether two objects are the halves of one key pair: they carry the same
// label, or, without labels, the same identifier.
func samePair(private, public iotsafe.Object) bool {
	if private.Label != "" || public.Label != "" {
		return private.Label == public.Label
	}
	return private.ID == public.ID
}
