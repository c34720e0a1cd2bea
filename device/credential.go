package device

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/simroot/simroot/iotsafe"
)

// ErrNoCredential says that the SIM holds no certificate and key pair that can be used.
var ErrNoCredential = errors.New("the SIM holds no activated certificate with its key: run the onboarding first")

// Credential is a certificate on the SIM and the key pair it belongs to.
type Credential struct {
	PrivateKey, PublicKey iotsafe.ID
	Certificate           *x509.Certificate
}

// Credential finds the SIM's credential: the activated certificate whose key the SIM can
// sign with, and the youngest if there are several. It is read once and kept until the
// SIM says that its store has changed.
func (d *Device) Credential(ctx context.Context) (*Credential, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.credential.get(d, func() (*Credential, error) {
		if found := d.cached(ctx); found != nil {
			return found, nil
		}
		store, err := d.readAll(ctx)
		if err == nil && store.credential == nil {
			err = ErrNoCredential
		}
		return store.credential, err
	})
}

// Anchors are the CA certificates on the SIM, whether or not it holds a credential. They are
// read from the SIM, never from a cache on disk (see [WithCache]), once and kept until the SIM says
// that its store has changed.
func (d *Device) Anchors(ctx context.Context) ([]*x509.Certificate, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.anchors.get(d, func() ([]*x509.Certificate, error) {
		store, err := d.readAll(ctx)
		return store.anchors, err
	})
}

// Forget makes the next use read the SIM again, and removes what [WithCache] keeps of it. It is
// for those who see a server refuse the credential: another program may have had the SIM
// given a new one.
func (d *Device) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.credential.known, d.psk.known, d.anchors.known, d.checker.known, d.containers.known = false, false, false, false, false
	d.cache.remove(d)
}

// contents is what the SIM's store holds for TLS.
type contents struct {
	credential *Credential // nil if there is none
	file       iotsafe.ID  // of its certificate
	anchors    []*x509.Certificate
}

// readAll reads the SIM, and keeps all that it finds.
func (d *Device) readAll(ctx context.Context) (contents, error) {
	generation := d.applet.Generation()
	store, err := d.read(ctx)
	if err != nil {
		return contents{}, err
	}
	d.anchors = kept[[]*x509.Certificate]{store.anchors, true, generation}
	if store.credential != nil { // without one, somebody may be about to bring it
		d.credential = kept[*Credential]{store.credential, true, generation}
		d.cache.save(ctx, d, store)
	}
	return store, nil
}

// read reads the object list and all certificates.
func (d *Device) read(ctx context.Context) (contents, error) {
	objects, err := d.applet.Objects(ctx)
	if err != nil {
		return contents{}, err
	}
	var found contents
	var changing error
	for _, file := range objects {
		if file.Kind != iotsafe.File || !file.Active || file.Usage != iotsafe.X509Certificate {
			continue
		}
		certificate, err := readCertificate(ctx, d.applet, file)
		if iotsafe.Changed(err) { // it is being written: another may be good meanwhile
			changing = err
			continue
		}
		if err != nil {
			return contents{}, err
		}
		if certificate.IsCA {
			found.anchors = append(found.anchors, certificate)
			continue
		}
		if d.only != nil && !bytes.Equal(certificate.Raw, d.only.Certificate) {
			continue
		}
		private, public, err := keyOf(ctx, d.applet, objects, file, certificate, d.only != nil)
		if err != nil {
			return contents{}, err
		}
		if private == "" || found.credential != nil && !certificate.NotBefore.After(found.credential.Certificate.NotBefore) {
			continue
		}
		found.credential, found.file = &Credential{PrivateKey: private, PublicKey: public, Certificate: certificate}, file.ID
	}
	switch {
	case found.credential != nil:
		return found, nil
	case d.only != nil:
		found.credential, err = d.renewal(ctx, objects)
		return found, err
	}
	return found, changing
}

// renewal is a credential on trial whose certificate is not on the SIM, and whose key is in use there;
// nil if that is not so.
func (d *Device) renewal(ctx context.Context, objects []iotsafe.Object) (*Credential, error) {
	certificate, err := x509.ParseCertificate(d.only.Certificate)
	if err != nil {
		return nil, fmt.Errorf("the certificate on trial is none: %w", err)
	}
	private, public, err := keyOf(ctx, d.applet, objects, iotsafe.Object{}, certificate, false)
	if err != nil || private == "" {
		return nil, err
	}
	return &Credential{PrivateKey: private, PublicKey: public, Certificate: certificate}, nil
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
