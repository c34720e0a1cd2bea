package interop

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/appserver/terminator"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

// terminate runs a terminator in front of a backend, and returns the port for SIMs.
func terminate(t *testing.T, p *platformtest.Platform, m *servertest.Server, kind terminator.Kind, tell terminator.Tell, backend string) string {
	t.Helper()
	dir := t.TempDir()
	if err := p.CA.Write(t, dir, "root.pem", "server.pem", "server.key"); err != nil {
		t.Fatal(err)
	}
	own, err := terminator.LoadCertificate(filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	front, err := terminator.Listen(terminator.Options{
		Middleware: m.Middleware, Certificate: own.Get, Drain: time.Second, Logger: slog.New(slog.DiscardHandler),
		Ways: []terminator.Way{{Kind: kind, Tell: tell, Listen: "127.0.0.1:0", Backend: backend}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- front.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	return front.Ways()[0].Listen
}

// plainCoAP is a CoAP server that knows nothing of DTLS.
func plainCoAP(t *testing.T) string {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.LocalAddr().(*net.UDPAddr)
	socket.Close()
	realparts.Start(t, "coap-server-notls", "-A", "127.0.0.1", "-p", fmt.Sprint(address.Port))
	realparts.WaitFor(t, "the CoAP server", func() bool {
		conn, err := net.DialUDP("udp", nil, address)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.Write([]byte{0x40, 0, 0, 1})                            //nolint:errcheck // a ping of CoAP (RFC 7252, 4.3)
		conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) //nolint:errcheck // asked again
		n, err := conn.Read(make([]byte, 16))
		return err == nil && n == 4
	})
	return address.String()
}

// theTime is an answer, alone on its line: the client's own messages begin with a time too.
var theTime = regexp.MustCompile(`(?m)^[A-Z][a-z]{2} [0-9]{2} [0-9:]{8}$`)

// knowsTheTime asks for what libcoap's example server has.
func knowsTheTime(t *testing.T, client *realparts.Process) bool {
	t.Helper()
	client.Wait()
	return theTime.MatchString(client.Output())
}

func TestLibcoapClientsReachAPlainCoAPServerThroughTheTerminator(t *testing.T) {
	t.Run("pre-shared key", func(t *testing.T) {
		p := platformtest.New(t)
		m := servertest.Open(t, p)
		sealed, err := api.Seal(m.Public, "one", []byte(coapKey))
		if err != nil {
			t.Fatal(err)
		}
		p.PSK(platformtest.ICCID(1), "one", sealed, nil)
		m.InStep(t)
		address := terminate(t, p, m, terminator.DTLSPSK, terminator.Nothing, plainCoAP(t))
		for _, stack := range []string{"openssl", "gnutls"} {
			ask := func() bool {
				return knowsTheTime(t, realparts.Start(t, "coap-client-"+stack, "-B", "3", "-u", "psk-one", "-k", coapKey, "coaps://"+address+"/time"))
			}
			if !ask() {
				t.Errorf("%s: no answer", stack)
			}
			p.SetCredential("one", api.Revoked)
			m.InStep(t)
			if ask() {
				t.Errorf("%s: an answer after revocation", stack)
			}
			p.SetCredential("one", api.Active)
			m.InStep(t)
		}
	})
	t.Run("certificate", func(t *testing.T) {
		p := platformtest.New(t)
		m := servertest.Open(t, p)
		sim := p.Provision(t, platformtest.ICCID(1))
		m.InStep(t)
		address := terminate(t, p, m, terminator.DTLS, terminator.Nothing, plainCoAP(t))
		dir := t.TempDir()
		device := filepath.Join(dir, "device.pem")
		if err := writePair(device, sim.Certificate); err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(dir, "root.pem")
		if err := os.WriteFile(root, p.CA.RootPEM, 0o600); err != nil {
			t.Fatal(err)
		}
		ask := func() bool {
			return knowsTheTime(t, realparts.Start(t, "coap-client-openssl", "-B", "3", "-c", device, "-j", device, "-C", root, "coaps://"+address+"/time"))
		}
		if !ask() {
			t.Error("no answer")
		}
		p.SetCredential(sim.Credential, api.Revoked)
		m.InStep(t)
		if ask() {
			t.Error("an answer after revocation")
		}
	})
}

// writePair writes a certificate and its key into one file.
func writePair(name string, pair tls.Certificate) error {
	key, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key})...), 0o600)
}

// judges are servers of others that take the PROXY protocol, and answer requests of HTTP with the address and
// port of the client as they see them.
var judges = map[string]func(t *testing.T, address string) *realparts.Process{
	"HAProxy": func(t *testing.T, address string) *realparts.Process {
		file := filepath.Join(t.TempDir(), "haproxy.cfg")
		text := `global
  maxconn 100
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 10s
frontend devices
  bind ` + address + ` accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src]:%[src_port] for %[fc_pp_authority]"
`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return realparts.Start(t, "haproxy", "-db", "-f", file)
	},
	"nginx": func(t *testing.T, address string) *realparts.Process {
		dir := t.TempDir()
		file := filepath.Join(dir, "nginx.conf")
		text := `daemon off;
master_process off;
pid ` + dir + `/pid;
error_log stderr;
events {}
http {
  access_log off;
  client_body_temp_path ` + dir + `/body;
  proxy_temp_path ` + dir + `/proxy;
  fastcgi_temp_path ` + dir + `/fastcgi;
  uwsgi_temp_path ` + dir + `/uwsgi;
  scgi_temp_path ` + dir + `/scgi;
  server {
    listen ` + address + ` proxy_protocol;
    location / { return 200 "$proxy_protocol_addr:$proxy_protocol_port for meters.example"; }
  }
}
`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return realparts.Start(t, "nginx", "-e", "stderr", "-c", file)
	},
}

func TestProxiesOfOthersUnderstandTheHeader(t *testing.T) {
	for name, start := range judges {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			m := servertest.Open(t, p)
			sim := p.Provision(t, platformtest.ICCID(1))
			m.InStep(t)
			behind := realparts.FreeAddress(t)
			start(t, behind)
			realparts.WaitListening(t, behind)
			address := terminate(t, p, m, terminator.TLS, terminator.ProxyV2, behind)
			conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, ServerName: "meters.example", Certificates: []tls.Certificate{sim.Certificate}}) //nolint:gosec // who the server is, is not the question
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") //nolint:errcheck // the answer will tell
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if want := conn.LocalAddr().String() + " for meters.example"; err != nil || string(body) != want {
				t.Errorf("%s sees %q, %v; want %q", name, body, err, want)
			}
		})
	}
}
