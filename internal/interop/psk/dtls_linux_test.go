package psk

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// opensslDTLS are the arguments, of server and client alike, for one suite and our key.
func opensslDTLS(name string, more ...string) []string {
	return append([]string{"-dtls1_2", "-psk_identity", identity, "-psk", pskHex, "-cipher", name + ":@SECLEVEL=0"}, more...)
}

func dialDTLS(t *testing.T, addr string, config *dtls.Config) (*dtls.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
	defer cancel()
	c, err := dtls.Dial(ctx, "udp", addr, config)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(realparts.Patience)) //nolint:errcheck // never fails
	}
	return c, err
}

func listenDTLS(t *testing.T, config *dtls.Config) *dtls.Listener {
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

// acceptDTLS waits for a connection and its handshake.
func acceptDTLS(t *testing.T, l *dtls.Listener) *dtls.Conn {
	t.Helper()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := accepted.(*dtls.Conn)
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(realparts.Patience)) //nolint:errcheck // never fails
	return c
}

// datagrams has some go both ways between a connection of ours and a program.
func datagrams(t *testing.T, c *dtls.Conn, p *realparts.Typed) {
	t.Helper()
	buf := make([]byte, 2000)
	for _, line := range []string{"first datagram\n", "second datagram\n"} {
		if _, err := io.WriteString(c, "our "+line); err != nil {
			t.Fatal(err)
		}
		p.WaitLog("our " + strings.TrimSpace(line))
		p.Says("its " + line)
		if n, err := c.Read(buf); err != nil || string(buf[:n]) != "its "+line {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
}

// datagramSuites are those of OpenSSL's that DTLS 1.2 has.
func datagramSuites() (all []peerSuite) {
	for _, s := range opensslSuites {
		if s.id>>8 != 0x13 {
			all = append(all, s)
		}
	}
	return all
}

func onlyDTLS(c *psktls.Config, id uint16, mtu int) *dtls.Config {
	c.CipherSuites = []uint16{id}
	return &dtls.Config{Config: *c, MTU: mtu}
}

func TestOpenSSLServerOverDatagrams(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, datagramSuites(), func(t *testing.T, suite peerSuite) {
			p, addr := opensslServer(t, opensslDTLS(suite.name)...)
			c, err := dialDTLS(t, addr, onlyDTLS(at.client(), suite.id, 0))
			if err != nil {
				t.Fatal(err)
			}
			if s := c.ConnectionState(); s.CipherSuite != suite.id || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			datagrams(t, c, p)
		})
	})
}

func TestOpenSSLClientOverDatagrams(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, datagramSuites(), func(t *testing.T, suite peerSuite) {
			l := listenDTLS(t, onlyDTLS(at.server(), suite.id, 0))
			p := realparts.StartTyped(t, "openssl", append([]string{"s_client", "-connect", l.Addr().String()}, opensslDTLS(suite.name)...)...)
			c := acceptDTLS(t, l)
			if s := c.ConnectionState(); s.CipherSuite != suite.id || string(s.Identity) != identity || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			datagrams(t, c, p)
			p.Says("Q\n")
			if n, err := c.Read(make([]byte, 9)); err != io.EOF {
				t.Errorf("%d bytes and %v instead of close_notify", n, err)
			}
		})
	})
}

func TestOpenSSLAsksForACookieAndTakesFragments(t *testing.T) {
	const suite = "ECDHE-PSK-CHACHA20-POLY1305"
	t.Run("server", func(t *testing.T) {
		p, addr := opensslServer(t, opensslDTLS(suite, "-listen", "-mtu", "256")...)
		c, err := dialDTLS(t, addr, onlyDTLS(clientConfig(), psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, psktls.MinMTU))
		if err != nil {
			t.Fatal(err)
		}
		datagrams(t, c, p)
	})
	t.Run("client", func(t *testing.T) {
		l := listenDTLS(t, onlyDTLS(serverConfig(), psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, psktls.MinMTU))
		p := realparts.StartTyped(t, "openssl", append([]string{"s_client", "-connect", l.Addr().String()}, opensslDTLS(suite)...)...)
		datagrams(t, acceptDTLS(t, l), p)
	})
}
