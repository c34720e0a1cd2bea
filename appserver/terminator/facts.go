package terminator

import (
	"crypto/tls"
	"crypto/x509"

	pion "github.com/pion/dtls/v3"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// facts are what there is to tell of a connection beside whose it is.
type facts struct {
	version     string // as OpenSSL names it: TLSv1.3, DTLSv1.2
	cipher      string // as IANA names it
	authority   string // the name that the client asked for
	certificate bool
	commonName  string // of the certificate
}

func factsOf(conn *appserver.Conn) facts {
	switch c := conn.NetConn().(type) {
	case *tls.Conn:
		state := c.ConnectionState()
		return facts{streamVersion(state.Version), tls.CipherSuiteName(state.CipherSuite), state.ServerName, true, state.PeerCertificates[0].Subject.CommonName}
	case *psktls.Conn:
		state := c.ConnectionState()
		return facts{version: streamVersion(state.Version), cipher: psktls.CipherSuiteName(state.CipherSuite), authority: state.ServerName}
	case *dtls.Conn:
		state := c.ConnectionState()
		return facts{version: "DTLSv1.2", cipher: psktls.CipherSuiteName(state.CipherSuite), authority: state.ServerName}
	case *pion.Conn:
		f := facts{version: "DTLSv1.2", certificate: true}
		if state, ok := c.ConnectionState(); ok {
			f.cipher = pion.CipherSuiteName(state.CipherSuiteID)
			if leaf, err := x509.ParseCertificate(state.PeerCertificates[0]); err == nil {
				f.commonName = leaf.Subject.CommonName
			}
		}
		return f
	}
	return facts{}
}

func streamVersion(v uint16) string {
	if v == tls.VersionTLS13 {
		return "TLSv1.3"
	}
	return "TLSv1.2"
}
