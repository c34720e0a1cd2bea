package appserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// patience is for a machine that is busy; nothing that a test waits for takes that long by itself.
const patience = time.Minute

// open opens a middleware that ends with the test and waits until it has caught up.
func open(t testing.TB, p *platformtest.Platform, o Options) *Middleware {
	t.Helper()
	m := openUnready(t, p, o)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	return m
}

func openUnready(t testing.TB, p *platformtest.Platform, o Options) *Middleware {
	t.Helper()
	o.Platform = p.Client
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// await waits until a condition holds, which it looks at after every change.
func await(t testing.TB, m *Middleware, condition func() bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	stop := m.Watch(func(Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	late := time.After(patience)
	for !condition() {
		select {
		case <-changed:
		case <-late:
			t.Fatalf("waited in vain: %+v", m.Synced())
		}
	}
}

// inStep waits until the middleware has applied the platform's last event.
func inStep(t testing.TB, m *Middleware, p *platformtest.Platform) {
	t.Helper()
	await(t, m, func() bool { return m.Synced().Seq == p.Head() })
}

// serverConfig is a guarded configuration with a certificate of the test's CA.
func serverConfig(t testing.TB, m *Middleware, p *platformtest.Platform) *tls.Config {
	return m.TLSConfig(&tls.Config{Certificates: []tls.Certificate{p.CA.Server(t, "server.example")}})
}

// clientConfig is a device's.
func clientConfig(p *platformtest.Platform, certificate tls.Certificate, version uint16) *tls.Config {
	return &tls.Config{
		ServerName: "server.example", RootCAs: p.CA.Roots, MinVersion: version, MaxVersion: version,
		Certificates: []tls.Certificate{certificate},
	}
}

// pair is the two ends of a connection. A pipe would not do: without buffers the two sides
// of TLS block each other as soon as one of them refuses.
func pair(t testing.TB) (there, here net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if here, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if there, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close(); there.Close() })
	return there, here
}

// connect lets a client meet a server. The client's handshake counts only when the server
// has accepted it and said a byte, which in TLS 1.3 comes later.
func connect(t testing.TB, m *Middleware, server, client *tls.Config) (*Conn, *tls.Conn, error) {
	t.Helper()
	there, here := pair(t)
	device := tls.Client(here, client)
	heard := make(chan error, 1)
	go func() {
		_, err := device.Read(make([]byte, 1))
		heard <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := m.Admit(ctx, tls.Server(there, server))
	if err != nil {
		if <-heard == nil {
			t.Error("the device heard from a server that refused it")
		}
		return nil, nil, err
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := <-heard; err != nil {
		t.Fatal(err)
	}
	return conn, device, nil
}

// ended waits until a connection is cut off on both sides, for the reason given.
func ended(t testing.TB, conn *Conn, device *tls.Conn, reason error) {
	t.Helper()
	begin := time.Now()
	device.SetReadDeadline(begin.Add(patience))
	if n, err := device.Read(make([]byte, 1)); err == nil {
		t.Errorf("the device read %d bytes", n)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, reason) {
		t.Errorf("the server's read: got %v, want %v", err, reason)
	}
	t.Logf("the cut took %s", time.Since(begin))
	if conn.Cause() != reason {
		t.Errorf("cause: got %v, want %v", conn.Cause(), reason)
	}
}

func eachVersion(t *testing.T, test func(t *testing.T, version uint16)) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { test(t, version) })
	}
}
