package psk

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

func TestMain(m *testing.M) { realparts.Main(m, "./cmd/simroot") }

var (
	identity = "8944501234567890123"
	psk      = bytes.Repeat([]byte{0x5A, 0x17}, 16)
	pskHex   = hex.EncodeToString(psk)
)

// clientConfig and serverConfig have the secret in memory.
func clientConfig() *psktls.Config { return place{"memory", psktls.SecretKey(psk)}.client() }
func serverConfig() *psktls.Config { return place{"memory", psktls.SecretKey(psk)}.server() }

// openssl starts a server of OpenSSL's and returns its address.
func opensslServer(t *testing.T, args ...string) (*realparts.Typed, string) {
	t.Helper()
	p := realparts.StartTyped(t, "openssl", append([]string{"s_server", "-accept", "127.0.0.1:0", "-nocert"}, args...)...)
	return p, p.WaitLog(`ACCEPT (\S+:\d+)`)[1]
}

// dial is a client of ours, with the test's patience.
func dial(t *testing.T, addr string, config *psktls.Config) (*psktls.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
	defer cancel()
	c, err := psktls.Dial(ctx, "tcp", addr, config)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(realparts.Patience)) //nolint:errcheck // the test would hang and tell
	}
	return c, err
}

// server is one of ours, for one connection.
type server struct {
	addr  string
	conns chan *psktls.Conn
	errs  chan error
}

// listen waits for one connection and does its handshake. wrap, if not nil, comes between.
func listen(t *testing.T, config *psktls.Config, wrap func(net.Conn) net.Conn) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &server{l.Addr().String(), make(chan *psktls.Conn, 1), make(chan error, 1)}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			s.errs <- err
			return
		}
		conn.SetDeadline(time.Now().Add(realparts.Patience)) //nolint:errcheck // the test would hang and tell
		if wrap != nil {
			conn = wrap(conn)
		}
		c := psktls.Server(conn, config)
		if err := c.Handshake(); err != nil {
			conn.Close()
			s.errs <- err
			return
		}
		s.conns <- c
	}()
	return s
}

// conn is the connection whose handshake must have succeeded.
func (s *server) conn(t *testing.T) *psktls.Conn {
	t.Helper()
	select {
	case c := <-s.conns:
		t.Cleanup(func() { c.Close() })
		return c
	case err := <-s.errs:
		t.Fatal(err)
	case <-time.After(realparts.Patience):
		t.Fatal("no handshake came to an end")
	}
	return nil
}

// failure is the error of a handshake that must not have succeeded.
func (s *server) failure(t *testing.T) error {
	t.Helper()
	select {
	case <-s.conns:
		t.Fatal("the handshake succeeded")
	case err := <-s.errs:
		return err
	case <-time.After(realparts.Patience):
		t.Fatal("no handshake came to an end")
	}
	return nil
}

func wantAlert(t *testing.T, err error, alert psktls.Alert, remote bool) {
	t.Helper()
	var got *psktls.AlertError
	if !errors.As(err, &got) || got.Alert != alert || got.Remote != remote {
		t.Errorf("%v, want %v, remote %v", err, alert, remote)
	}
}

// ends reads to the end, which must be in good order.
func ends(t *testing.T, c *psktls.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("%d bytes and %v instead of close_notify", len(rest), err)
	}
}
