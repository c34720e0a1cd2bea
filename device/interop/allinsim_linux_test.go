package interop

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

func TestMain(m *testing.M) { realparts.Main(m) }

// files are what a server of others reads.
type files struct{ certificate, key, ca string }

// write puts a server's certificate and key, and the CA that it trusts, into files.
func write(t *testing.T, own tls.Certificate, clients *fixture.CA) files {
	t.Helper()
	dir := t.TempDir()
	put := func(name, kind string, der []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return files{
		put("server.pem", "CERTIFICATE", own.Certificate[0]),
		put("key.pem", "PRIVATE KEY", key),
		put("ca.pem", "CERTIFICATE", clients.Certificate.Raw),
	}
}

// openssl starts a server of OpenSSL's that wants a client certificate, and returns its address.
func openssl(t *testing.T, f files, args ...string) (*realparts.Typed, string) {
	t.Helper()
	p := realparts.StartTyped(t, "openssl", append([]string{"s_server", "-accept", "127.0.0.1:0", "-cert", f.certificate, "-key", f.key,
		"-CAfile", f.ca, "-Verify", "1", "-verify_return_error"}, args...)...)
	return p, p.WaitLog(`ACCEPT (\S+:\d+)`)[1]
}

func open(t *testing.T, ca *fixture.CA) *device.Device {
	t.Helper()
	d, err := device.New(t.Context(), fixture.NewSlot(ca.SIMWith(fixture.WholeExchange)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dial connects with all in the SIM, with the test's patience.
func dial(t *testing.T, d *device.Device, address string) (*psktls.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), realparts.Patience)
	defer cancel()
	c, err := d.DialAllInSIM(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.Close() })
	return c, c.SetDeadline(time.Now().Add(realparts.Patience))
}

// ends says close_notify, and reads to the end, which must be in good order.
func ends(t *testing.T, c *psktls.Conn) {
	t.Helper()
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
		t.Errorf("%d bytes and %v instead of close_notify", len(rest), err)
	}
}

func TestOpenSSLTakesASIMThatDoesAll(t *testing.T) {
	ca := fixture.NewCA(t)
	d := open(t, ca)
	for name, args := range map[string][]string{
		"with all that it has":    nil,
		"which prefers X25519":    {"-groups", "X25519:P-256"},
		"which asks for a cookie": {"-stateless"},
	} {
		t.Run(name, func(t *testing.T) {
			p, address := openssl(t, write(t, ca.Server(), ca), append(args, "-tls1_3")...)
			c, err := dial(t, d, address)
			if err != nil {
				t.Fatal(err)
			}
			if s := c.ConnectionState(); s.Version != psktls.VersionTLS13 || s.Curve != tls.CurveP256 || len(s.PeerCertificates) == 0 {
				t.Errorf("%+v", s)
			}
			p.Exchange(c)
			ends(t, c)
		})
	}
}

func TestKeysAreUpdatedWithOpenSSL(t *testing.T) {
	ca := fixture.NewCA(t)
	p, address := openssl(t, write(t, ca.Server(), ca), "-tls1_3")
	c, err := dial(t, open(t, ca), address)
	if err != nil {
		t.Fatal(err)
	}
	p.WaitLog(`CIPHER is`)
	for _, command := range []string{"k\n", "K\n"} { // its own keys, and ours too
		p.Says(command)
		p.Says("after update\n")
		line := make([]byte, len("after update\n"))
		if _, err := io.ReadFull(c, line); err != nil || string(line) != "after update\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	for _, request := range []bool{false, true} {
		if err := c.UpdateKeys(request); err != nil {
			t.Fatal(err)
		}
	}
	p.Exchange(c)
	ends(t, c)
}

func TestWhatIsWrongWithOpenSSLsServerIsNotBorne(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	for name, c := range map[string]struct {
		own   tls.Certificate
		alert psktls.Alert
		hears string // the server
	}{
		"another CA":   {other.Server(), psktls.AlertUnknownCA, "alert unknown ca"},
		"another name": {ca.Server("elsewhere.example"), psktls.AlertBadCertificate, "alert bad certificate"},
		"expired":      {ca.ExpiredServer(), psktls.AlertCertificateExpired, "alert certificate expired"},
	} {
		t.Run(name, func(t *testing.T) {
			p, address := openssl(t, write(t, c.own, ca), "-tls1_3")
			_, err := dial(t, open(t, ca), address)
			var alert *psktls.AlertError
			if !errors.As(err, &alert) || alert.Remote || alert.Alert != c.alert {
				t.Fatal(err)
			}
			p.WaitLog(c.hears)
		})
	}
}

func TestWhatOpenSSLRefusesIsTold(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	for name, c := range map[string]struct {
		clients *fixture.CA
		args    []string
		alert   psktls.Alert
	}{
		"our CA":    {other, []string{"-tls1_3"}, psktls.AlertUnknownCA},
		"the group": {ca, []string{"-tls1_3", "-groups", "X25519:P-384"}, psktls.AlertHandshakeFailure},
		"TLS 1.3":   {ca, []string{"-tls1_2"}, psktls.AlertProtocolVersion},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := openssl(t, write(t, ca.Server(), c.clients), c.args...)
			conn, err := dial(t, open(t, ca), address)
			if err == nil { // a server refuses the client's certificate when the client is done
				_, err = conn.Read(make([]byte, 1))
			}
			var alert *psktls.AlertError
			if !errors.As(err, &alert) || !alert.Remote || alert.Alert != c.alert {
				t.Errorf("%v, want %v", err, c.alert)
			}
		})
	}
}

func TestGnuTLSTakesASIMThatDoesAll(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	d := open(t, ca)
	serve := func(clients *fixture.CA, priority string) string {
		f, port := write(t, ca.Server(), clients), realparts.FreePort(t)
		p := realparts.Start(t, "gnutls-serv", "--echo", "--port", fmt.Sprint(port), "--x509certfile", f.certificate, "--x509keyfile", f.key,
			"--x509cafile", f.ca, "--require-client-cert", "--verify-client-cert", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS1.3"+priority)
		p.WaitLog("listening on")
		address := fmt.Sprintf("127.0.0.1:%d", port)
		realparts.WaitFor(t, "gnutls-serv to do what it says", func() bool {
			c, err := net.Dial("tcp", address)
			if err == nil {
				c.Close()
			}
			return !errors.Is(err, syscall.ECONNREFUSED)
		})
		return address
	}
	c, err := dial(t, d, serve(ca, ""))
	if err != nil {
		t.Fatal(err)
	}
	data := realparts.Megabyte()
	go io.WriteString(c, data) //nolint:errcheck // the reader will tell
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != data {
		t.Fatalf("something else came back, %v", err)
	}
	ends(t, c)

	var alert *psktls.AlertError
	c, err = dial(t, d, serve(other, ""))
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.As(err, &alert) || !alert.Remote || !strings.Contains(err.Error(), "certificate") && alert.Alert != psktls.AlertUnknownCA {
		t.Errorf("a server of another CA: %v", err)
	}
	if _, err = dial(t, d, serve(ca, ":-GROUP-ALL:+GROUP-X25519")); !errors.As(err, &alert) || !alert.Remote || alert.Alert != psktls.AlertHandshakeFailure {
		t.Errorf("a server of another group: %v", err)
	}
}
