package interop

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"regexp"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

func TestMain(m *testing.M) { realparts.Main(m) }

// pskServer is a listener for pre-shared keys, over TLS or DTLS.
func pskServer(t *testing.T, m *servertest.Server, datagrams bool) *appserver.Listener {
	t.Helper()
	config, err := m.PSKConfig(&psktls.Config{AllowPSKOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var ln *appserver.Listener
	if datagrams {
		socket, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if ln, err = m.DTLSListener(socket, &dtls.Config{Config: *config}); err != nil {
			t.Fatal(err)
		}
	} else {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln = m.PSKListener(inner, config)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// clients are foreign clients with a key.
var clients = []struct {
	name      string
	datagrams bool
	start     func(t *testing.T, address, identity, key string) *realparts.Process
	refusal   string // what the program says of its refusal; empty: it waits for an answer
}{
	{"OpenSSL, TLS 1.2", false, openssl("-tls1_2", "-cipher", "PSK"), `alert number \d+`},
	{"OpenSSL, TLS 1.3", false, openssl("-tls1_3"), `alert number \d+`},
	{"OpenSSL, DTLS 1.2", true, openssl("-dtls1_2", "-cipher", "PSK"), ""},
	{"GnuTLS, TLS 1.2", false, gnutls("VERS-TLS1.2:+PSK"), `\*\*\* Fatal error: [^\n]*`},
	{"GnuTLS, TLS 1.3", false, gnutls("VERS-TLS1.3:+ECDHE-PSK:+DHE-PSK:+PSK:+GROUP-X25519"), `\*\*\* Fatal error: [^\n]*`},
	{"GnuTLS, DTLS 1.2", true, gnutls("VERS-DTLS1.2:+PSK", "--udp"), ""},
}

func openssl(more ...string) func(*testing.T, string, string, string) *realparts.Process {
	return func(t *testing.T, address, identity, key string) *realparts.Process {
		return realparts.StartTyped(t, "openssl", append([]string{"s_client", "-connect", address, "-psk_identity", identity, "-psk", key}, more...)...).Process
	}
}

func gnutls(protocol string, more ...string) func(*testing.T, string, string, string) *realparts.Process {
	return func(t *testing.T, address, identity, key string) *realparts.Process {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		return realparts.StartTyped(t, "gnutls-cli", append(more, "--port", port, "--pskusername", identity, "--pskkey", key,
			"--priority", "NORMAL:-VERS-ALL:-KX-ALL:+"+protocol, host)...).Process
	}
}

func TestForeignClientsAreLetInKnownAndCutOff(t *testing.T) {
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			p := platformtest.New(t)
			m := servertest.Open(t, p)
			k := p.ProvisionPSK(t, platformtest.ICCID(1), m.Public)
			m.InStep(t)
			ln := pskServer(t, m, c.datagrams)
			client := c.start(t, ln.Addr().String(), k.Identity, hex.EncodeToString(k.Secret))
			conn := servertest.Accept(t, ln)
			if id := conn.Identity(); id.ICCID != platformtest.ICCID(1) || id.Credential != k.Credential {
				t.Errorf("identity %+v", id)
			}
			if _, err := io.WriteString(conn, "the meter is read\n"); err != nil {
				t.Fatal(err)
			}
			client.WaitLog("the meter is read")
			p.SetCredential(k.Credential, api.Revoked)
			if code := client.Wait(); code < 0 { // it has left by itself: it was told
				t.Errorf("exit code %d", code)
			}
		})
	}
}

func TestForeignClientsCannotTellAnUnknownIdentityFromAWrongKey(t *testing.T) {
	for _, c := range clients {
		if c.refusal == "" {
			continue // over datagrams both wait for ever
		}
		t.Run(c.name, func(t *testing.T) {
			p := platformtest.New(t)
			m := servertest.Open(t, p)
			k, revoked := p.ProvisionPSK(t, platformtest.ICCID(1), m.Public), p.ProvisionPSK(t, platformtest.ICCID(2), m.Public)
			p.SetCredential(revoked.Credential, api.Revoked)
			m.InStep(t)
			ln := pskServer(t, m, c.datagrams)
			var first string
			for _, who := range []struct{ identity, key string }{
				{k.Identity, fmt.Sprintf("%064d", 1)},
				{"a stranger", hex.EncodeToString(k.Secret)},
				{revoked.Identity, hex.EncodeToString(revoked.Secret)},
			} {
				client := c.start(t, ln.Addr().String(), who.identity, who.key)
				if code := client.Wait(); code == 0 {
					t.Errorf("%s was let in", who.identity)
				}
				said := regexp.MustCompile(c.refusal).FindString(client.Output())
				if first == "" {
					first = said
				}
				if said == "" || said != first {
					t.Errorf("%s: the client says %q, and with a wrong key %q", who.identity, said, first)
				}
			}
		})
	}
}
