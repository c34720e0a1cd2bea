package appserver

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
)

// TLSConfig is a server's configuration that lets in nobody but SIMs with an accepted
// credential, in full handshakes and resumed ones. Everything else, such as the server's
// own certificate, is as in base, which is not changed.
func (m *Middleware) TLSConfig(base *tls.Config) *tls.Config {
	if base == nil {
		base = &tls.Config{}
	}
	outer := m.guard(base, nil)
	if choose := base.GetConfigForClient; choose != nil {
		outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if err != nil {
				return nil, err
			}
			if chosen == nil {
				chosen = base
			}
			return m.guard(chosen, m.anchors.Load()), nil
		}
		return outer
	}
	// One configuration serves until the platform's CA certificates change.
	var mu sync.Mutex
	var inner *tls.Config
	var of *anchors
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		now := m.anchors.Load()
		if now == nil {
			return nil, fmt.Errorf("appserver: %w", ErrNotReady)
		}
		mu.Lock()
		defer mu.Unlock()
		if of != now {
			inner, of = m.guard(base, now), now
		}
		return inner, nil
	}
	return outer
}

// ClientCAs are the certificates that a SIM's may be issued by, as of now: for TLS and DTLS
// libraries that do not take a [crypto/tls.Config]. The pool is empty before the first
// contact with the platform.
func (m *Middleware) ClientCAs() *x509.CertPool {
	if a := m.anchors.Load(); a != nil {
		return a.pool
	}
	return x509.NewCertPool()
}

// guard adds to a configuration what must hold for the peer.
func (m *Middleware) guard(base *tls.Config, a *anchors) *tls.Config {
	c := base.Clone()
	c.GetConfigForClient = nil
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = nil
	if a != nil {
		c.ClientCAs = a.pool
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS12)
	if c.Time == nil {
		c.Time = m.now
	}
	also := base.VerifyConnection
	// Unlike VerifyPeerCertificate, this is called for a resumed session as well.
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if m.policy != nil || len(state.PeerCertificates) == 0 || !m.accepts(sha256.Sum256(state.PeerCertificates[0].Raw)) {
			if id, err := m.Identify(state); err != nil {
				return refused(id, err)
			}
		}
		if also != nil {
			return also(state)
		}
		return nil
	}
	return c
}

func refused(id Identity, reason error) error { return &refusalError{id, reason} }

// refusalError says who is refused and why. It is put into words when somebody asks, which
// is after the peer has its answer.
type refusalError struct {
	id     Identity
	reason error
}

func (e *refusalError) Error() string {
	if e.id.ICCID == "" {
		return fmt.Sprintf("appserver: refused: %v", e.reason)
	}
	return fmt.Sprintf("appserver: SIM %s, credential %s refused: %v", e.id.ICCID, e.id.Credential, e.reason)
}

func (e *refusalError) Unwrap() error { return e.reason }

// Admit completes the handshake of a connection that uses [Middleware.TLSConfig], unless
// that is done, and watches the connection from then on. If it fails the connection is closed.
// [Listener] calls it for every connection that it accepts.
func (m *Middleware) Admit(ctx context.Context, conn *tls.Conn) (*Conn, error) {
	return m.admit(ctx, &Conn{}, conn)
}

// admit is Admit into a Conn that may lie under the connection as well.
func (m *Middleware) admit(ctx context.Context, c *Conn, conn *tls.Conn) (*Conn, error) {
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.NetConn().Close()
		return nil, err
	}
	state := conn.ConnectionState()
	if len(state.PeerCertificates) == 0 || len(state.VerifiedChains) == 0 { // not our configuration
		conn.NetConn().Close()
		return nil, refused(Identity{}, ErrUnknown)
	}
	c.Conn, c.print = conn, sha256.Sum256(state.PeerCertificates[0].Raw)
	if err := m.enlist(c); err != nil {
		return nil, err
	}
	return c, nil
}

// Enlist watches a connection of any TLS or DTLS library: the returned one is closed as soon as
// the credential with the given fingerprint is no longer accepted. It is for connections
// whose handshake is complete, in which the peer has proved that it holds the credential,
// and fails, having closed conn, if the credential is not accepted. To be cut off while it
// writes to a peer that does not read, a stream needs a NetConn method that returns
// what it lies over, as [crypto/tls.Conn] has.
func (m *Middleware) Enlist(conn net.Conn, print Fingerprint) (*Conn, error) {
	c := &Conn{Conn: conn, print: print}
	if err := m.enlist(c); err != nil {
		return nil, err
	}
	return c, nil
}

func (m *Middleware) enlist(c *Conn) (err error) {
	if c.who, err = m.holder(c.print); err == nil && m.policy != nil {
		err = m.denied(c.Identity())
	}
	if err != nil {
		c.abandon()
		return refused(c.Identity(), err)
	}
	// A revocation between the check in the handshake and this line found no connection
	// to cut. So list it first, then check again: one of the two must see the other.
	m.live.add(c)
	if m.policy == nil && m.accepts(c.print) {
		return nil
	}
	if _, err := m.Lookup(c.print); err != nil {
		c.cutOff(err)
		return refused(c.Identity(), err)
	}
	return nil
}
