package psk

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

// gnutlsDatagramSuites are those of gnutlsSuites that DTLS 1.2 has.
func gnutlsDatagramSuites() (all []peerSuite) {
	for _, s := range gnutlsSuites {
		if s.id>>8 != 0x13 {
			all = append(all, peerSuite{s.id, strings.Replace(s.name, "+VERS-TLS1.2", "+VERS-DTLS1.2", 1)})
		}
	}
	return all
}

func TestGnuTLSServerOverDatagrams(t *testing.T) {
	file := filepath.Join(t.TempDir(), "psk")
	if err := os.WriteFile(file, []byte(identity+":"+pskHex+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, gnutlsDatagramSuites(), func(t *testing.T, suite peerSuite) {
			port := realparts.FreePort(t)
			p := realparts.StartTyped(t, "gnutls-serv", "--udp", "--echo", "--port", fmt.Sprint(port), "--pskpasswd", file, "--priority", priority(suite.name))
			p.WaitLog(`UDP server ready|listening on`)
			c, err := dialDTLS(t, fmt.Sprintf("127.0.0.1:%d", port), onlyDTLS(at.client(), suite.id, 0))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.ConnectionState().CipherSuite; got != suite.id {
				t.Error(psktls.CipherSuiteName(got))
			}
			if _, err := io.WriteString(c, "a datagram"); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 1500)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "a datagram" {
				t.Errorf("%q, %v", buf[:n], err)
			}
		})
	})
}

func TestGnuTLSClientOverDatagrams(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, gnutlsDatagramSuites(), func(t *testing.T, suite peerSuite) {
			l := listenDTLS(t, onlyDTLS(at.server(), suite.id, 0))
			host, port, err := net.SplitHostPort(l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			p := realparts.StartTyped(t, "gnutls-cli", "--udp", "--port", port, "--pskusername", identity, "--pskkey", pskHex, "--priority", priority(suite.name), host)
			c := acceptDTLS(t, l)
			if s := c.ConnectionState(); s.CipherSuite != suite.id || string(s.Identity) != identity {
				t.Errorf("state %+v", s)
			}
			if suite.id == psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 {
				return // gnutls-cli crashes by itself: see TestGnuTLSClient
			}
			p.WaitLog("Handshake was completed")
			datagrams(t, c, p)
		})
	})
}
