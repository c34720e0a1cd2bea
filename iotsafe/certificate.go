package iotsafe

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"

	"github.com/simroot/simroot/card"
)

// CertificateRequest is a PKCS #10 request (RFC 2986), in DER, for the key in the SIM and
// the subject that names the SIM: its ICCID as common name and as serialNumber.
func (s *Signer) CertificateRequest(iccid card.ICCID) ([]byte, error) {
	if _, err := card.ParseICCID(string(iccid)); err != nil {
		return nil, fmt.Errorf("iotsafe: certificate request: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject:            pkix.Name{CommonName: string(iccid), SerialNumber: string(iccid)},
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}, s)
	if err != nil {
		return nil, fmt.Errorf("iotsafe: certificate request: %w", err)
	}
	return request, nil
}

// ErrScheme says that a signature on a certificate is not of a kind that a SIM is sure to
// verify: ECDSA on P-256.
var ErrScheme = errors.New("the SIM verifies ECDSA signatures on P-256")

// VerifyCertificate makes the applet check the signature on a certificate with its issuer's
// public key, which a container of the SIM holds. Of the certificate nothing else is looked
// at. A signature that does not match is an error that wraps [apdu.SignatureMismatch].
func (a *Applet) VerifyCertificate(ctx context.Context, container ID, certificate *x509.Certificate) error {
	what := Error{Op: opVerify, Kind: PublicKey, ID: container}
	signature, field, err := certificateFields(container, certificate)
	if err != nil {
		return what.failed(err)
	}
	if err := a.acquire(ctx); err != nil {
		return what.failed(err)
	}
	defer a.release()
	return a.verifyHeld(ctx, what, ECDSAWithSHA256, PadAndSign, field, signature)
}

// VerifyCertificateBy is [Applet.VerifyCertificate] for an issuer's key that the SIM does not
// hold yet: it is put into a container that may be updated. No command of ours comes between
// the two; whether another program's does, the caller must know.
func (a *Applet) VerifyCertificateBy(ctx context.Context, container ID, issuer crypto.PublicKey, certificate *x509.Certificate) error {
	what := Error{Op: opVerify, Kind: PublicKey, ID: container}
	if key, ok := issuer.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return what.failed(fmt.Errorf("%w, not with a key of type %T", ErrScheme, issuer))
	}
	key, err := putKeyData(container, issuer)
	if err != nil {
		return what.failed(err)
	}
	signature, field, err := certificateFields(container, certificate)
	if err != nil {
		return what.failed(err)
	}
	if err := a.acquire(ctx); err != nil {
		return what.failed(err)
	}
	defer a.release()
	if err := a.putPublicKey(ctx, Error{Op: opPut, Kind: PublicKey, ID: container}, key); err != nil {
		return err
	}
	return a.verifyHeld(ctx, what, ECDSAWithSHA256, PadAndSign, field, signature)
}

// certificateFields are what VERIFY SIGNATURE needs of a certificate: r and s, and the digest.
func certificateFields(container ID, certificate *x509.Certificate) (signature, field []byte, err error) {
	if err := container.Check(); err != nil {
		return nil, nil, err
	}
	hash, ok := map[x509.SignatureAlgorithm]crypto.Hash{
		x509.ECDSAWithSHA256: crypto.SHA256, x509.ECDSAWithSHA384: crypto.SHA384, x509.ECDSAWithSHA512: crypto.SHA512,
	}[certificate.SignatureAlgorithm]
	if !ok {
		return nil, nil, fmt.Errorf("%w; this certificate is signed with %s", ErrScheme, certificate.SignatureAlgorithm)
	}
	if signature, err = rawSignature(certificate.Signature); err != nil {
		return nil, nil, fmt.Errorf("the signature on the certificate: %w", err)
	}
	h := hash.New()
	h.Write(certificate.RawTBSCertificate)
	_, field, err = ECDSAWithSHA256.digestField(h.Sum(nil))
	return signature, field, err
}
