package device

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
)

// TLSConfig returns a client configuration whose key is in the SIM. It trusts the
// anchors on the SIM, if there are any, and otherwise those of the system; what the
// caller changes in it afterwards is the caller's.
//
// The credential is looked up for each handshake, at no cost while the SIM has not
// changed, so that a configuration outlives a rotation.
func (d *Device) TLSConfig(ctx context.Context) (*tls.Config, error) {
	credential, err := d.Credential(ctx)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return d.Certificate(request.Context())
		},
	}
	if len(credential.Anchors) > 0 {
		config.RootCAs = x509.NewCertPool()
		for _, anchor := range credential.Anchors {
			config.RootCAs.AddCert(anchor)
		}
	}
	return config, nil
}

// Certificate is the SIM's credential as crypto/tls uses it: the certificate, and a
// signer that has the SIM sign.
func (d *Device) Certificate(ctx context.Context) (*tls.Certificate, error) {
	credential, err := d.Credential(ctx)
	if err != nil {
		return nil, err
	}
	public, _ := credential.Certificate.PublicKey.(*ecdsa.PublicKey) // keyOf made sure
	return &tls.Certificate{
		Certificate: [][]byte{credential.Certificate.Raw},
		PrivateKey:  d.applet.Signer(context.WithoutCancel(ctx), credential.PrivateKey, public),
		Leaf:        credential.Certificate,
		// A SIM signs the digests that its applet knows.
		SupportedSignatureAlgorithms: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	}, nil
}
