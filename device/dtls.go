package device

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
)

// ErrNoHost says that nobody told what a server is to be called.
var ErrNoHost = errors.New("the server's host name or address is needed: its certificate is held to it")

// dtlsSchemes are what the server may sign with and, in DTLS 1.2, also what it may ask the
// client to sign with: so ECDSA is there only with the digest that a SIM's applet knows.
var dtlsSchemes = []tls.SignatureScheme{
	tls.ECDSAWithP256AndSHA256, tls.Ed25519,
	tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512,
	tls.PKCS1WithSHA256, tls.PKCS1WithSHA384, tls.PKCS1WithSHA512,
}

// DTLSOptions returns options for a client of pion/dtls, which speaks DTLS 1.2 (RFC 6347),
// whose key is in the SIM:
//
//	options, err := sim.DTLSOptions(ctx, "coap.example")
//	conn, err := dtls.DialWithOptions("udp", address, options...)
//
// host is the name or the IP address that the server's certificate must have, and must be
// given: pion/dtls holds a certificate to no name at all if it is told none. What
// [Device.Roots] says is trusted, and [WithServerCheck] and [WithSIMRandom] are heeded. Options that
// the caller appends come after these and replace them.
//
// As with [Device.TLSConfig], the credential is looked up for each handshake, so that
// the options outlive a rotation. A PSK is not for pion/dtls, which asks for the key: see
// [Device.PSKConfig] and package psktls/dtls.
func (d *Device) DTLSOptions(ctx context.Context, host string) ([]dtls.ClientOption, error) {
	if host == "" {
		return nil, ErrNoHost
	}
	config, err := d.TLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	kept := context.WithoutCancel(ctx)
	options := []dtls.ClientOption{
		dtls.WithServerName(host), // an address too: it is checked, and not sent (RFC 6066, 3)
		dtls.WithSignatureSchemes(dtlsSchemes...),
		dtls.WithGetClientCertificate(func(*dtls.CertificateRequestInfo) (*tls.Certificate, error) {
			return d.Certificate(kept)
		}),
	}
	if config.RootCAs != nil {
		options = append(options, dtls.WithRootCAs(config.RootCAs))
	}
	if d.checkServer { // also with what a session to be resumed has left
		options = append(options, dtls.WithVerifyPeerCertificate(func(_ [][]byte, chains [][]*x509.Certificate) error {
			return d.CheckServer(kept, chains)
		}))
	}
	if config.Rand != nil {
		options = append(options, dtls.WithHelloRandomBytesGenerator(func() (random [handshake.RandomBytesLength]byte) {
			if _, err := io.ReadFull(config.Rand, random[:]); err != nil {
				rand.Read(random[:]) //nolint:errcheck // never fails; the reader is made of it
			}
			return random
		}))
	}
	return options, nil
}
