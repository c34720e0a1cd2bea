package tunnel

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync/atomic"

	"github.com/simroot/simroot/psktls"
)

// stream is a connection of which either direction can end alone.
type stream interface {
	net.Conn
	CloseWrite() error
}

// streamWithCertificate is crypto/tls.
func (w *way) streamWithCertificate(ctx context.Context, a attempt) (stream, error) {
	config, err := a.sim.TLSConfig(ctx)
	if err != nil {
		a.seen.note(err)
		return nil, err
	}
	config.ServerName = a.host
	if w.Roots != nil {
		config.RootCAs = w.Roots
	}
	config.GetClientCertificate = func(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return a.certificate(request.Context())
	}
	line := &noted{Conn: a.raw}
	conn := tls.Client(line, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return whole{conn, line}, nil
}

// streamWithPSK is psktls.
func (w *way) streamWithPSK(ctx context.Context, a attempt, identity string) (stream, error) {
	config, err := a.pskConfig(ctx, identity)
	if err != nil {
		return nil, err
	}
	conn := psktls.Client(a.raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return conn, nil
}

// whole tells a connection that was cut between two records from one that the server has
// ended: crypto/tls takes both for an end (RFC 8446, 6.1, says why they are not the same).
type whole struct {
	*tls.Conn
	line *noted
}

func (w whole) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	if err == io.EOF && w.line.ended.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// noted notes that the line under TLS has ended. TLS reads no further once it has been told
// that nothing more will come.
type noted struct {
	net.Conn
	ended atomic.Bool
}

func (n *noted) Read(b []byte) (int, error) {
	read, err := n.Conn.Read(b)
	if err == io.EOF {
		n.ended.Store(true)
	}
	return read, err
}
