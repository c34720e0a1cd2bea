package psk

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// pionSuites are ours that pion/dtls has.
var pionSuites = []peerSuite{
	{psktls.TLS_PSK_WITH_AES_128_CCM_8, ""}, {psktls.TLS_PSK_WITH_AES_128_CCM, ""}, {psktls.TLS_PSK_WITH_AES_128_GCM_SHA256, ""},
	{psktls.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, ""}, {psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, ""},
}

// pionKey is what pion does with an identity, or, as client, a hint.
type pionKey = pion.PSKCallback

func pionHas([]byte) ([]byte, error) { return psk, nil }

// pionServer speaks of connection ids if ids is not nil.
func pionServer(end net.PacketConn, peer net.Addr, suite uint16, key pionKey, ids func() []byte) (*pion.Conn, error) {
	var options []pion.ServerOption
	for _, o := range pionOptions(suite, key, ids) {
		options = append(options, o)
	}
	return pion.ServerWithOptions(end, peer, options...)
}

func pionClient(end net.PacketConn, peer net.Addr, suite uint16, key pionKey, ids func() []byte) (*pion.Conn, error) {
	var options []pion.ClientOption
	for _, o := range pionOptions(suite, key, ids) {
		options = append(options, o)
	}
	return pion.ClientWithOptions(end, peer, options...)
}

func pionOptions(suite uint16, key pionKey, ids func() []byte) []pion.Option {
	options := []pion.Option{
		pion.WithPSK(key),
		pion.WithPSKIdentityHint([]byte(identity)),
		pion.WithCipherSuites(pion.CipherSuiteID(suite)),
		pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret),
	}
	if ids != nil {
		options = append(options, pion.WithConnectionIDGenerator(ids))
	}
	return options
}

// cable is one end of a line of datagrams in memory, and a socket with one peer.
type cable struct {
	in, out chan []byte
	closed  chan struct{}
	once    sync.Once
	spoil   *realparts.Spoiler // of what is written
}

func newCable() (*cable, *cable) {
	a, b := make(chan []byte, 64), make(chan []byte, 64)
	return &cable{in: a, out: b, closed: make(chan struct{})}, &cable{in: b, out: a, closed: make(chan struct{})}
}

func (c *cable) Read(b []byte) (int, error) {
	select {
	case d := <-c.in:
		return copy(b, d), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *cable) Write(b []byte) (int, error) {
	c.spoil.Pass(bytes.Clone(b), func(b []byte) {
		select {
		case c.out <- b:
		default:
		}
	})
	return len(b), nil
}

func (c *cable) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := c.Read(b)
	return n, c.RemoteAddr(), err
}

func (c *cable) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }
func (c *cable) Close() error                              { c.once.Do(func() { close(c.closed) }); return nil }
func (c *cable) LocalAddr() net.Addr                       { return &net.UDPAddr{Port: 1} }
func (c *cable) RemoteAddr() net.Addr                      { return &net.UDPAddr{Port: 1} }
func (c *cable) SetDeadline(time.Time) error               { return nil }
func (c *cable) SetReadDeadline(time.Time) error           { return nil }
func (c *cable) SetWriteDeadline(time.Time) error          { return nil }

// echo has a datagram go there and come back.
func echo(t *testing.T, near, far net.Conn) {
	t.Helper()
	buf := make([]byte, 100)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		if _, err := way[0].Write([]byte("a datagram")); err != nil {
			t.Fatal(err)
		}
		if n, err := way[1].Read(buf); err != nil || string(buf[:n]) != "a datagram" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
}

func TestPionServer(t *testing.T) { pionEverywhere(t, ourClientPionServer) }

func TestPionClient(t *testing.T) { pionEverywhere(t, pionClientOurServer) }

func pionEverywhere(t *testing.T, handshake func(context.Context, place, *cable, *cable, uint16) (near, far net.Conn, err error)) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, pionSuites, func(t *testing.T, suite peerSuite) {
			near, far := newCable()
			ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
			defer cancel()
			c, s, err := handshake(ctx, at, near, far, suite.id)
			if err != nil {
				t.Fatal(err)
			}
			echo(t, c, s)
			c.Close()
			s.Close()
		})
	})
}

func ourClientPionServer(ctx context.Context, at place, near, far *cable, suite uint16) (net.Conn, net.Conn, error) {
	s, err := pionServer(far, far.RemoteAddr(), suite, pionHas, nil)
	if err != nil {
		return nil, nil, err
	}
	c, err := dtls.Client(near, onlyDTLS(at.client(), suite, 0))
	if err != nil {
		return nil, nil, err
	}
	return c, s, together(ctx, c, s)
}

func pionClientOurServer(ctx context.Context, at place, near, far *cable, suite uint16) (net.Conn, net.Conn, error) {
	l, err := dtls.Listen(far, onlyDTLS(at.server(), suite, 0))
	if err != nil {
		return nil, nil, err
	}
	c, err := pionClient(near, near.RemoteAddr(), suite, pionHas, nil)
	if err != nil {
		return nil, nil, err
	}
	return finish(ctx, c, l)
}

func ours(ctx context.Context, near, far *cable, suite uint16) (net.Conn, net.Conn, error) {
	l, err := dtls.Listen(far, onlyDTLS(serverConfig(), suite, 0))
	if err != nil {
		return nil, nil, err
	}
	c, err := dtls.Client(near, onlyDTLS(clientConfig(), suite, 0))
	if err != nil {
		return nil, nil, err
	}
	return finish(ctx, c, l)
}

func pions(ctx context.Context, near, far *cable, suite uint16) (net.Conn, net.Conn, error) {
	s, err := pionServer(far, far.RemoteAddr(), suite, pionHas, nil)
	if err != nil {
		return nil, nil, err
	}
	c, err := pionClient(near, near.RemoteAddr(), suite, pionHas, nil)
	if err != nil {
		return nil, nil, err
	}
	return c, s, together(ctx, c, s)
}

type handshaker interface{ HandshakeContext(context.Context) error }

// together does both sides' handshakes.
func together(ctx context.Context, c, s handshaker) error {
	done := make(chan error, 1)
	go func() { done <- s.HandshakeContext(ctx) }()
	return errors.Join(c.HandshakeContext(ctx), <-done)
}

// listening is a connection that takes its listener along when it is closed.
type listening struct {
	net.Conn
	l *dtls.Listener
}

func (l listening) Close() error { return errors.Join(l.Conn.Close(), l.l.Close()) }

// finish does the handshakes of a client and of what a listener makes of it.
func finish(ctx context.Context, c interface {
	net.Conn
	handshaker
}, l *dtls.Listener) (net.Conn, net.Conn, error) {
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, nil, err
	}
	s, err := l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return c, listening{s, l}, s.(*dtls.Conn).HandshakeContext(ctx)
}

// BenchmarkDTLSHandshakeAgainstPion has both do the same: a handshake with a cookie, over a line
// in memory.
func BenchmarkDTLSHandshakeAgainstPion(b *testing.B) {
	for _, x := range []struct {
		name      string
		handshake func(context.Context, *cable, *cable, uint16) (net.Conn, net.Conn, error)
	}{{"psktls", ours}, {"pion", pions}} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				near, far := newCable()
				c, s, err := x.handshake(b.Context(), near, far, psktls.TLS_PSK_WITH_AES_128_CCM_8)
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
				s.Close()
				near.Close()
				far.Close()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
		})
	}
}
