package device

import (
	"context"
	"crypto/tls"
	"crypto/x509"
)

// TLSConfig returns a client configuration whose key is in the SIM. It trusts what
// [Device.Roots] says, and does what the options [WithServerCheck] and [WithSIMRandom] ask for;
// what the caller changes in it afterwards is the caller's.
//
// The credential is looked up for each handshake, at no cost while the SIM has not
// changed, so that a configuration outlives a rotation.
func (d *Device) TLSConfig(ctx context.Context) (*tls.Config, error) {
	roots, err := d.Roots(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := d.Credential(ctx); err != nil {
		return nil, err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    roots,
		GetClientCertificate: func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return d.Certificate(request.Context())
		},
	}
	if d.checkServer {
		if err := d.CanCheckServers(ctx); err != nil {
			return nil, err
		}
		lasting := context.WithoutCancel(ctx)
		config.VerifyConnection = func(state tls.ConnectionState) error {
			return d.CheckServer(lasting, state.VerifiedChains)
		}
	}
	config.Rand, err = d.configRand(ctx)
	return config, err
}

// Roots are the CAs that servers' certificates must chain to, in every mode that has
// certificates: those of [WithRoots]; else the trust anchors on the SIM; else nil, which
// stands for the system's.
func (d *Device) Roots(ctx context.Context) (*x509.CertPool, error) {
	if d.roots != nil {
		return d.roots, nil
	}
	anchors, err := d.Anchors(ctx)
	if err != nil || len(anchors) == 0 {
		return nil, err
	}
	roots := x509.NewCertPool()
	for _, anchor := range anchors {
		roots.AddCert(anchor)
	}
	return roots, nil
}

// Certificate is the SIM's credential as crypto/tls uses it: the certificate, and a
// signer that has the SIM sign.
func (d *Device) Certificate(ctx context.Context) (*tls.Certificate, error) {
	credential, err := d.Credential(ctx)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{
		Certificate: [][]byte{credential.Certificate.Raw},
		PrivateKey:  d.signer(ctx, credential),
		Leaf:        credential.Certificate,
		// A SIM signs the digests that its applet knows.
		SupportedSignatureAlgorithms: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	}, nil
}
