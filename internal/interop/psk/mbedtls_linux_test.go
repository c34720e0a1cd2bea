//go:build interop

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

// mbedtls is one of the programs that scripts/mbedtls builds.
func mbedtls(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("SIMROOT_MBEDTLS")
	if folder == "" {
		t.Fatal("SIMROOT_MBEDTLS does not name the folder of mbed TLS's programs: run make interop, which builds them")
	}
	return filepath.Join(folder, name)
}

// mbedtlsServer starts mbed TLS's server, which answers a request with a page and hangs up.
func mbedtlsServer(t *testing.T, more ...string) (addr string, p *realparts.Process) {
	t.Helper()
	port := realparts.FreePort(t)
	p = realparts.Start(t, mbedtls(t, "ssl_server2"), append([]string{
		"server_addr=127.0.0.1", fmt.Sprintf("server_port=%d", port), "psk_identity=" + identity, "psk=" + pskHex,
	}, more...)...)
	p.WaitLog("Waiting for a remote connection")
	return fmt.Sprintf("127.0.0.1:%d", port), p
}

// mbedtlsClient starts mbed TLS's client, which asks for a page.
func mbedtlsClient(t *testing.T, addr, key string, more ...string) *realparts.Process {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return realparts.Start(t, mbedtls(t, "ssl_client2"), append([]string{
		"server_addr=" + host, "server_port=" + port, "psk_identity=" + identity, "psk=" + key,
	}, more...)...)
}

const mbedtlsRequest = "GET / HTTP/1.0\r\n\r\n"

func TestMbedTLSServer(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, mbedtlsSuites, func(t *testing.T, suite peerSuite) {
			addr, p := mbedtlsServer(t, "force_ciphersuite="+suite.name, "response_size=16000")
			c, err := dial(t, addr, only(at.client(), suite.id))
			if err != nil {
				t.Fatal(err)
			}
			if s := c.ConnectionState(); s.CipherSuite != suite.id || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			if _, err := io.WriteString(c, mbedtlsRequest); err != nil {
				t.Fatal(err)
			}
			if page, err := io.ReadAll(c); err != nil || !strings.Contains(string(page), "Successful connection using: "+suite.name) {
				t.Errorf("%q, %v", page, err)
			}
			c.Close()
			p.WaitLog("Closing the connection")

			wrong := only(clientConfig(), suite.id)
			wrong.Key = psktls.SecretKey([]byte("another key altogether"))
			_, err = dial(t, addr, wrong)
			wantAlert(t, err, psktls.AlertBadRecordMAC, true)
		})
	})
}

func TestMbedTLSClient(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, mbedtlsSuites, func(t *testing.T, suite peerSuite) {
			s := listen(t, only(at.server(), suite.id), nil)
			p := mbedtlsClient(t, s.addr, pskHex, "force_ciphersuite="+suite.name, "request_size=16000")
			c := s.conn(t)
			if s := c.ConnectionState(); s.CipherSuite != suite.id || string(s.Identity) != identity || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			request := make([]byte, 16000)
			if _, err := io.ReadFull(c, request); err != nil || !strings.HasPrefix(string(request), "GET ") {
				t.Errorf("%.40q, %v", request, err)
			}
			if _, err := io.WriteString(c, "all is well"); err != nil {
				t.Fatal(err)
			}
			c.Close()
			if code := p.Wait(); code != 0 || !strings.Contains(p.Output(), "all is well") {
				t.Errorf("it exits with %d", code)
			}

			s = listen(t, only(at.server(), suite.id), nil)
			mbedtlsClient(t, s.addr, strings.Repeat("00", 16), "force_ciphersuite="+suite.name)
			wantAlert(t, s.failure(t), psktls.AlertBadRecordMAC, false)
		})
	})
}

func TestMbedTLSServerOverDatagrams(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, mbedtlsSuites, func(t *testing.T, suite peerSuite) {
			addr, _ := mbedtlsServer(t, "dtls=1", "force_ciphersuite="+suite.name)
			c, err := dialDTLS(t, addr, onlyDTLS(at.client(), suite.id, 0))
			if err != nil {
				t.Fatal(err)
			}
			if s := c.ConnectionState(); s.CipherSuite != suite.id || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			if _, err := io.WriteString(c, mbedtlsRequest); err != nil {
				t.Fatal(err)
			}
			page := make([]byte, 1500)
			n, err := c.Read(page)
			if err != nil || !strings.Contains(string(page[:n]), "Successful connection using: "+suite.name) {
				t.Errorf("%q, %v", page[:n], err)
			}
			if _, err := c.Read(page); err != io.EOF {
				t.Errorf("%v instead of close_notify", err)
			}
		})
	})
}

func TestMbedTLSClientOverDatagrams(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, mbedtlsSuites, func(t *testing.T, suite peerSuite) {
			l := listenDTLS(t, onlyDTLS(at.server(), suite.id, 0))
			p := mbedtlsClient(t, l.Addr().String(), pskHex, "dtls=1", "force_ciphersuite="+suite.name)
			c := acceptDTLS(t, l)
			if s := c.ConnectionState(); s.CipherSuite != suite.id || string(s.Identity) != identity || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			request := make([]byte, 1500)
			if n, err := c.Read(request); err != nil || !strings.HasPrefix(string(request[:n]), "GET ") {
				t.Errorf("%.40q, %v", request[:n], err)
			}
			if _, err := io.WriteString(c, "all is well"); err != nil {
				t.Fatal(err)
			}
			if code := p.Wait(); code != 0 || !strings.Contains(p.Output(), "all is well") {
				t.Errorf("it exits with %d", code)
			}
			if _, err := c.Read(request); err != io.EOF {
				t.Errorf("%v instead of close_notify", err)
			}
		})
	})
}
