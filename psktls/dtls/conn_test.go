package dtls_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

var secret = bytes.Repeat([]byte{0x5A, 0x17}, 8)

const identity = "8944501234567890123"

func clientConfig() *dtls.Config {
	return &dtls.Config{Config: psktls.Config{Identity: []byte(identity), Key: psktls.SecretKey(secret), AllowPSKOnly: true}}
}

func serverConfig() *dtls.Config {
	return &dtls.Config{Config: psktls.Config{AllowPSKOnly: true, GetKey: func(_ context.Context, got []byte) (psktls.Key, error) {
		if string(got) != identity {
			return nil, psktls.ErrUnknownIdentity
		}
		return psktls.SecretKey(secret), nil
	}}}
}

// patience is for a machine that is busy; nothing here takes that long by itself.
const patience = time.Minute

func listen(t *testing.T, config *dtls.Config) *dtls.Listener {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := dtls.Listen(socket, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, addr string, config *dtls.Config) (*dtls.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := dtls.Dial(ctx, "udp", addr, config)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

func accept(t *testing.T, l *dtls.Listener) *dtls.Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c.(*dtls.Conn)
}

func says(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(from, text); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 2000)
	n, err := to.Read(buf)
	if err != nil || string(buf[:n]) != text {
		t.Fatalf("%q, %v instead of %q", buf[:n], err, text)
	}
}

func TestOneSocketServesManyPeersAndKeepsDatagramsApart(t *testing.T) {
	l := listen(t, serverConfig())
	for range 3 {
		c, err := dial(t, l.Addr().String(), clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		s := accept(t, l)
		says(t, c, s, "a datagram")
		says(t, s, c, "")
		says(t, s, c, "and its answer")
		if got := s.ConnectionState(); string(got.Identity) != identity || s.RemoteAddr().String() != c.LocalAddr().String() {
			t.Errorf("%+v from %v", got, s.RemoteAddr())
		}
	}
}

func TestCloseEndsTheOtherSideInGoodOrder(t *testing.T) {
	l := listen(t, serverConfig())
	c, err := dial(t, l.Addr().String(), clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	s := accept(t, l)
	says(t, c, s, "x")
	c.Close()
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := s.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestAClientThatBeginsAnewFromItsAddressIsServed(t *testing.T) {
	l := listen(t, serverConfig())
	local, err := net.ResolveUDPAddr("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var before *dtls.Conn
	for range 2 {
		remote := l.Addr().(*net.UDPAddr)
		conn, err := net.DialUDP("udp", local, remote)
		if err != nil {
			t.Fatal(err)
		}
		local = conn.LocalAddr().(*net.UDPAddr)
		c, err := dtls.Client(conn, clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		s := accept(t, l)
		says(t, c, s, "hello")
		if before != nil {
			if _, err := before.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		}
		before = s
		conn.Close() // it loses its power: no close_notify
	}
}

func TestDeadlinesAndContextsEndWaiting(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	conn, err := net.Dial("udp", silent.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := dtls.Client(conn, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(-time.Second))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if _, err := c.Write(nil); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	c.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if err := c.HandshakeContext(ctx); err != why {
		t.Error(err)
	}
}

func TestDataMustFitInADatagram(t *testing.T) {
	l := listen(t, serverConfig())
	c, err := dial(t, l.Addr().String(), clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(make([]byte, psktls.DefaultMTU)); !errors.Is(err, psktls.ErrDatagramTooLong) {
		t.Error(err)
	}
	says(t, c, accept(t, l), "this fits")
}

func TestAConfigThatCannotWorkIsRefusedAtOnce(t *testing.T) {
	if _, err := dtls.Client(nil, nil); !errors.Is(err, psktls.ErrConfig) {
		t.Error(err)
	}
	if _, err := dtls.Listen(nil, clientConfig()); !errors.Is(err, psktls.ErrConfig) {
		t.Error(err)
	}
}
