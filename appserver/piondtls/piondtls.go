// Package piondtls lets SIMs in over DTLS by pion/dtls: with certificates, which psktls/dtls does
// not speak, or with pre-shared keys, for servers that stand on pion anyway.
//
//	ln, err := piondtls.Listen(m, "udp", &net.UDPAddr{Port: 5684}, dtls.WithCertificates(own))
//
// A server of go-coap serves such a listener as it is, and one of
// [appserver.Middleware.DTLSListener] as well:
//
//	err = coapserver.New(options.WithMux(router)).Serve(ln)
//
// A handler finds who speaks by [appserver.IdentityOf] of its connection's NetConn.
//
// pion keeps one connection for each address: a device that has lost its state and begins anew from
// the same address is heard only after the old connection has ended. psktls/dtls does
// not have this limit.
package piondtls

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/pion/dtls/v3"
	dtlsnet "github.com/pion/dtls/v3/pkg/net"
	"github.com/pion/transport/v5/udp"

	"github.com/simroot/simroot/appserver"
)

// recordHandshake is the content type of a DTLS record that can begin a connection (RFC 6347, 4.1).
const recordHandshake = 22

// Listen serves DTLS with certificates on a UDP address: it lets in SIMs that the platform accepts, as
// [appserver.Middleware.TLSConfig] does for TLS. The options are the server's own; those about
// client certificates and WithVerifyConnection are taken.
func Listen(m *appserver.Middleware, network string, address *net.UDPAddr, options ...dtls.ServerOption) (*appserver.Listener, error) {
	own := func() []dtls.ServerOption { // the platform's CA certificates may change
		return append(slices.Clone(options),
			dtls.WithClientAuth(dtls.RequireAndVerifyClientCert), dtls.WithClientCAs(m.ClientCAs()),
			dtls.WithVerifyConnection(func(state *dtls.State) error {
				_, err := m.Lookup(fingerprint(state))
				return err
			}))
	}
	return listen(m, network, address, own(), func(ctx context.Context, accepted net.Conn) (*appserver.Conn, error) {
		conn, err := handshake(ctx, accepted, own())
		if err != nil {
			return nil, err
		}
		return enlist(m, conn, fingerprint)
	})
}

// ListenPSK serves DTLS with pre-shared keys on a UDP address, as
// [appserver.Middleware.DTLSListener] does. The options are the server's own; WithPSK is taken, and
// WithCipherSuites is needed only to have others than pion's AEAD suites with PSK, best first: but one,
// with ChaCha20, they have no forward secrecy. A secret is opened for its handshake, and wiped after it. An
// identity that is not let in gets the handshake of a wrong key.
func ListenPSK(m *appserver.Middleware, network string, address *net.UDPAddr, options ...dtls.ServerOption) (*appserver.Listener, error) {
	own := func(reveal dtls.PSKCallback) []dtls.ServerOption {
		return append(append([]dtls.ServerOption{dtls.WithCipherSuites(pskSuites...)}, options...), dtls.WithPSK(reveal))
	}
	nothing := func([]byte) ([]byte, error) { return nil, nil }
	return listen(m, network, address, own(nothing), func(ctx context.Context, accepted net.Conn) (*appserver.Conn, error) {
		var revealed [][]byte
		var refusal error
		conn, err := handshake(ctx, accepted, own(func(identity []byte) ([]byte, error) {
			secret, refused, err := m.RevealPSK(identity)
			revealed, refusal = append(revealed, secret), refused
			return secret, err
		}))
		for _, secret := range revealed { // pion is done with it
			clear(secret)
		}
		if err != nil {
			if refusal != nil {
				err = fmt.Errorf("%w: %w", refusal, err)
			}
			return nil, err
		}
		return enlist(m, conn, func(state *dtls.State) appserver.Fingerprint { return appserver.PSKFingerprint(state.IdentityHint) })
	})
}

// pskSuites are pion's for pre-shared keys, but for those with CBC.
var pskSuites = []dtls.CipherSuiteID{
	dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256,
	dtls.TLS_PSK_WITH_AES_128_GCM_SHA256, dtls.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, dtls.TLS_PSK_WITH_AES_128_CCM,
	dtls.TLS_PSK_WITH_AES_128_CCM_8, dtls.TLS_PSK_WITH_AES_256_CCM_8,
}

// listen serves an address of UDP. The options are what a connection gets, for a first check.
func listen(m *appserver.Middleware, network string, address *net.UDPAddr, options []dtls.ServerOption, admit appserver.AdmitFunc) (*appserver.Listener, error) {
	if _, err := dtls.NewListenerWithOptions(nil, options...); err != nil {
		return nil, fmt.Errorf("piondtls: %w", err)
	}
	config := udp.ListenConfig{AcceptFilter: func(datagram []byte) bool { return len(datagram) > 0 && datagram[0] == recordHandshake }}
	inner, err := config.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return m.ListenerFunc(inner, admit), nil
}

// handshake makes a server of a line of datagrams, and closes it if that fails.
func handshake(ctx context.Context, accepted net.Conn, options []dtls.ServerOption) (*dtls.Conn, error) {
	conn, err := dtls.ServerWithOptions(dtlsnet.PacketConnFromConn(accepted), accepted.RemoteAddr(), options...)
	if err != nil {
		accepted.Close()
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.Close()
		accepted.Close()
		return nil, err
	}
	return conn, nil
}

// enlist has a connection watched under the credential that its peer has proved to hold.
func enlist(m *appserver.Middleware, conn *dtls.Conn, of func(*dtls.State) appserver.Fingerprint) (*appserver.Conn, error) {
	state, ok := conn.ConnectionState()
	if !ok {
		conn.Close()
		return nil, errors.New("piondtls: the connection ended with its handshake")
	}
	return m.Enlist(conn, of(&state))
}

// fingerprint is that of the peer's certificate. That of none is no credential's.
func fingerprint(state *dtls.State) appserver.Fingerprint {
	if len(state.PeerCertificates) == 0 {
		return appserver.Fingerprint{}
	}
	return sha256.Sum256(state.PeerCertificates[0])
}
