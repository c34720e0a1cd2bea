package terminator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/internal/testlog"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

const patience = servertest.Patience

// scene is a platform, a terminator that follows it, and what that logs.
type scene struct {
	*testing.T
	platform *platformtest.Platform
	server   *servertest.Server
	way      Way
	log      *testlog.Log
	stop     func()        // tells the terminator to
	stopped  chan struct{} // closed when it has
}

// terminate runs a terminator with one way to a backend.
func terminate(t *testing.T, kind Kind, tell Tell, backend string, o Options) *scene {
	t.Helper()
	p := platformtest.New(t)
	s := &scene{T: t, platform: p, server: servertest.Open(t, p), log: testlog.New(t), stopped: make(chan struct{})}
	dir := t.TempDir()
	if err := p.CA.Write(t, dir, "root.pem", "server.pem", "server.key"); err != nil {
		t.Fatal(err)
	}
	own, err := LoadCertificate(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Middleware, o.Certificate = s.server.Middleware, own.Get
	o.Logger = s.log.Logger()
	o.Ways = []Way{{kind, tell, "127.0.0.1:0", backend}}
	terminator, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	s.way = terminator.Ways()[0]
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	go func() {
		defer close(s.stopped)
		if err := terminator.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		stop()
		within(t, "the terminator to stop", s.stopped)
	})
	return s
}

// within waits for a channel to be closed.
func within(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

// device is a SIM with either kind of credential.
type device struct {
	iccid, credential string
	certificate       tls.Certificate
	psk               platformtest.PSK
}

// device provisions a SIM for the scene's kind.
func (s *scene) device(n int) device {
	s.Helper()
	d := device{iccid: platformtest.ICCID(n)}
	if s.way.Kind.Certificates() {
		sim := s.platform.Provision(s, d.iccid)
		d.certificate, d.credential = sim.Certificate, sim.Credential
	} else {
		d.psk = s.platform.ProvisionPSK(s, d.iccid, s.server.Public)
		d.credential = d.psk.Credential
	}
	s.server.InStep(s)
	return d
}

func (s *scene) revoke(d device) { s.platform.SetCredential(d.credential, api.Revoked) }

func (s *scene) tlsConfig(d device) *tls.Config {
	return &tls.Config{ServerName: "127.0.0.1", RootCAs: s.platform.CA.Roots, Certificates: []tls.Certificate{d.certificate}}
}

func (d device) pskConfig() psktls.Config {
	secret := d.psk.Secret
	return psktls.Config{Identity: []byte(d.psk.Identity), ServerName: "meters.example", AllowPSKOnly: true, Key: psktls.SealedKey(func(context.Context) ([]byte, error) {
		return bytes.Clone(secret), nil
	})}
}

// dial connects a device, which has its handshake then.
func (s *scene) dial(d device) (net.Conn, error) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	var conn interface {
		net.Conn
		HandshakeContext(context.Context) error
	}
	network := "tcp"
	if s.way.Kind.Datagrams() {
		network = "udp"
	}
	line, err := net.Dial(network, s.way.Listen)
	if err != nil {
		return nil, err
	}
	config := d.pskConfig()
	switch s.way.Kind {
	case TLS:
		conn = tls.Client(line, s.tlsConfig(d))
	case TLSPSK:
		conn = psktls.Client(line, &config)
	case DTLS:
		line.Close()
		address, _ := net.ResolveUDPAddr("udp", s.way.Listen)
		conn, err = pion.DialWithOptions("udp", address, pion.WithCertificates(d.certificate), pion.WithRootCAs(s.platform.CA.Roots), pion.WithServerName("127.0.0.1"))
	default:
		conn, err = dtls.Client(line, &dtls.Config{Config: config})
	}
	if err == nil {
		s.Cleanup(func() { conn.Close() })
		err = conn.HandshakeContext(ctx)
	}
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the test would hang and tell
	return conn, nil
}

// connect is dial that must succeed.
func (s *scene) connect(d device) net.Conn {
	s.Helper()
	conn, err := s.dial(d)
	if err != nil {
		s.Fatal(err)
	}
	return conn
}

// backend is a TCP server that hands out its connections.
type plain struct {
	*testing.T
	*net.TCPListener
}

func listenPlain(t *testing.T) plain {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return plain{t, ln.(*net.TCPListener)}
}

func (p plain) address() string { return p.Addr().String() }

func (p plain) accept() *net.TCPConn {
	p.Helper()
	p.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the test would hang and tell
	conn, err := p.AcceptTCP()
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the test would hang and tell
	return conn
}

// nobody is an address that refuses.
func nobody(t *testing.T) string {
	t.Helper()
	p := listenPlain(t)
	p.Close()
	return p.address()
}

// say writes, hear reads as much as is wanted and compares.
func say(t testing.TB, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

func hear(t testing.TB, conn net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v; want %q", got, err, want)
	}
}

// hearEnd reads the proper end of a stream.
func hearEnd(t testing.TB, conn net.Conn) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatalf("read %d bytes, %v; want the end", n, err)
	}
}

// hearReset reads the end of a stream that is no proper one.
func hearReset(t testing.TB, conn net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, conn); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read: %v; want a reset", err)
	}
}
