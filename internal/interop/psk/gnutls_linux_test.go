package psk

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

// gnutlsSuites are ours that GnuTLS offers, as its priority strings. It has no ECDHE_PSK
// with AES-GCM or AES-CCM, and no key for SHA-384 from the command line.
var gnutlsSuites = []peerSuite{
	{psktls.TLS_PSK_WITH_AES_128_GCM_SHA256, "+VERS-TLS1.2:+PSK:+AES-128-GCM"},
	{psktls.TLS_PSK_WITH_AES_256_GCM_SHA384, "+VERS-TLS1.2:+PSK:+AES-256-GCM"},
	{psktls.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, "+VERS-TLS1.2:+PSK:+CHACHA20-POLY1305"},
	{psktls.TLS_PSK_WITH_AES_128_CCM, "+VERS-TLS1.2:+PSK:+AES-128-CCM"},
	{psktls.TLS_PSK_WITH_AES_128_CCM_8, "+VERS-TLS1.2:+PSK:+AES-128-CCM-8"},
	{psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, "+VERS-TLS1.2:+ECDHE-PSK:+CHACHA20-POLY1305"},
	{psktls.TLS_AES_128_GCM_SHA256, "+VERS-TLS1.3:+ECDHE-PSK:+AES-128-GCM"},
	{psktls.TLS_CHACHA20_POLY1305_SHA256, "+VERS-TLS1.3:+ECDHE-PSK:+CHACHA20-POLY1305"},
	{psktls.TLS_AES_128_CCM_SHA256, "+VERS-TLS1.3:+ECDHE-PSK:+AES-128-CCM"},
	{psktls.TLS_AES_128_CCM_8_SHA256, "+VERS-TLS1.3:+ECDHE-PSK:+AES-128-CCM-8"},
}

func priority(s string) string { return "NORMAL:-VERS-ALL:-KX-ALL:-CIPHER-ALL:" + s }

func TestGnuTLSServer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(file, []byte(identity+":"+pskHex+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, gnutlsSuites, func(t *testing.T, suite peerSuite) {
			port := realparts.FreePort(t)
			p := realparts.StartTyped(t, "gnutls-serv", "--echo", "--port", fmt.Sprint(port), "--pskpasswd", file, "--priority", priority(suite.name))
			p.WaitLog(`listening on`)
			addr := fmt.Sprintf("127.0.0.1:%d", port)
			var c *psktls.Conn
			var err error
			realparts.WaitFor(t, "gnutls-serv to do what it says", func() bool {
				c, err = dial(t, addr, only(at.client(), suite.id))
				return !errors.Is(err, syscall.ECONNREFUSED)
			})
			if err != nil {
				t.Fatal(err)
			}
			echoed(t, c)
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			ends(t, c)

			wrong := only(at.client(), suite.id)
			wrong.Key = psktls.SecretKey([]byte("another key altogether"))
			if _, err := dial(t, addr, wrong); err == nil {
				t.Error("GnuTLS takes a wrong key")
			}
		})
	})
}

// echoed has a megabyte come back.
func echoed(t *testing.T, c *psktls.Conn) {
	t.Helper()
	data := realparts.Megabyte()
	go io.WriteString(c, data) //nolint:errcheck // the reader will tell
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if string(got) != data {
		t.Error("something else came back")
	}
}

func TestGnuTLSClient(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, gnutlsSuites, func(t *testing.T, suite peerSuite) {
			s := listen(t, only(at.server(), suite.id), nil)
			p := gnutlsClient(t, s.addr, pskHex, suite.name)
			c := s.conn(t)
			if got := c.ConnectionState().CipherSuite; got != suite.id {
				t.Error(psktls.CipherSuiteName(got))
			}
			if suite.id == psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 {
				// gnutls-cli of Debian 12 crashes when it comes to describe such a session, with
				// OpenSSL's server too. The handshake is proven; data is by gnutls-serv.
				return
			}
			p.WaitLog("Handshake was completed")
			data := realparts.Megabyte()
			if at.name != "memory" {
				data = data[:len(data)/16] // it writes byte by byte, and its data does not care where our secret is
			}
			p.ExchangeText(c, data)
			p.Stdin.Close()
			ends(t, c)
			c.Close()
			if code := p.Wait(); code != 0 {
				t.Errorf("gnutls-cli exits with %d", code)
			}

			s = listen(t, only(at.server(), suite.id), nil)
			gnutlsClient(t, s.addr, strings.Repeat("00", 16), suite.name)
			if err := s.failure(t); err == nil {
				t.Error("we take a wrong key")
			}
		})
	})
}

func gnutlsClient(t *testing.T, addr, key, suite string) *realparts.Typed {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return realparts.StartTyped(t, "gnutls-cli", "--port", port, "--pskusername", identity, "--pskkey", key, "--priority", priority(suite), host)
}
