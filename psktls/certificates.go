package psktls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"
)

// Certificates is authentication by certificates (RFC 8446, 4.4), as crypto/tls does it, for
// handshakes whose ephemeral key is made elsewhere (see [KeyExchange]). There is no way
// around the checks: the server's chain must lead to one of Roots, be valid now, for servers and
// for [Config.ServerName].
type Certificates struct {
	// Roots are the CAs that are trusted; nil means those of the system.
	Roots *x509.CertPool

	// Client finds the client's certificate and its signer, for a server that asks. nil means
	// that there is none, which the server may or may not accept.
	Client func(ctx context.Context) (*tls.Certificate, error)

	// Check, if set, has the last word on the server, with its verified chains, each from its
	// certificate to the root. An error ends the handshake.
	Check func(ctx context.Context, chains [][]*x509.Certificate) error

	// Time is the clock; nil means time.Now.
	Time func() time.Time
}

// checkCertificates checks what Certificates means for the rest.
func (s *settings) checkCertificates(client bool) error {
	switch c := s.Config; {
	case c.Certificates == nil:
		return nil
	case !client:
		return fmt.Errorf("%w: Certificates: a server with certificates is the business of crypto/tls", ErrConfig)
	case len(c.Identity) > 0 || c.Key != nil || c.AllowPSKOnly:
		return fmt.Errorf("%w: Certificates and a pre-shared key: choose one", ErrConfig)
	case s.min < VersionTLS13:
		return fmt.Errorf("%w: MinVersion: Certificates serve TLS 1.3 only", ErrConfig)
	case c.ServerName == "":
		return fmt.Errorf("%w: Certificates without ServerName: say whom to expect, a host name or an IP address", ErrConfig)
	case len(s.curves) == 0:
		return fmt.Errorf("%w: Certificates without Curves: there is no key exchange left", ErrConfig)
	}
	return nil
}

// hostName is the name that goes into server_name: none for an IP address (RFC 6066, 3).
func (s *settings) hostName() string {
	if s.Certificates != nil && net.ParseIP(s.ServerName) != nil {
		return ""
	}
	return s.ServerName
}

// now is the time at which certificates are checked.
func (c *Certificates) now() time.Time {
	if c.Time != nil {
		return c.Time()
	}
	return time.Now()
}
