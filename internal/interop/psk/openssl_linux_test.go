package psk

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

// opensslSuites are ours that OpenSSL 3.0 offers, by its names. It has no ECDHE_PSK with
// AES-GCM or AES-CCM.
var opensslSuites = []peerSuite{
	{psktls.TLS_PSK_WITH_AES_128_GCM_SHA256, "PSK-AES128-GCM-SHA256"},
	{psktls.TLS_PSK_WITH_AES_256_GCM_SHA384, "PSK-AES256-GCM-SHA384"},
	{psktls.TLS_PSK_WITH_CHACHA20_POLY1305_SHA256, "PSK-CHACHA20-POLY1305"},
	{psktls.TLS_PSK_WITH_AES_128_CCM, "PSK-AES128-CCM"},
	{psktls.TLS_PSK_WITH_AES_128_CCM_8, "PSK-AES128-CCM8"},
	{psktls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, "ECDHE-PSK-CHACHA20-POLY1305"},
	{psktls.TLS_AES_128_GCM_SHA256, "TLS_AES_128_GCM_SHA256"},
	{psktls.TLS_AES_256_GCM_SHA384, "TLS_AES_256_GCM_SHA384"},
	{psktls.TLS_CHACHA20_POLY1305_SHA256, "TLS_CHACHA20_POLY1305_SHA256"},
	{psktls.TLS_AES_128_CCM_SHA256, "TLS_AES_128_CCM_SHA256"},
	{psktls.TLS_AES_128_CCM_8_SHA256, "TLS_AES_128_CCM_8_SHA256"},
}

// opensslArgs are the arguments, of server and client alike, for one suite and our key.
func opensslArgs(t *testing.T, id uint16, name string) []string {
	args := []string{"-psk_identity", identity}
	if id>>8 != 0x13 {
		return append(args, "-psk", pskHex, "-tls1_2", "-cipher", name+":@SECLEVEL=0")
	}
	args = append(args, "-tls1_3", "-ciphersuites", name)
	if id == psktls.TLS_AES_256_GCM_SHA384 {
		// OpenSSL holds a key in hexadecimal to be one for SHA-256.
		return append(args, "-psk_session", opensslSession(t, id))
	}
	return append(args, "-psk", pskHex, "-cipher", "ALL:@SECLEVEL=0")
}

// opensslSession is our key as a session in a file, which is how OpenSSL takes one for
// another hash.
func opensslSession(t *testing.T, suite uint16) string {
	t.Helper()
	der, err := asn1.Marshal(struct {
		Structure, Version int
		Cipher, ID, Secret []byte
	}{1, int(psktls.VersionTLS13), binary.BigEndian.AppendUint16(nil, suite), []byte{}, psk})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "session.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "SSL SESSION PARAMETERS", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// only is the configuration for one suite.
func only(c *psktls.Config, id uint16) *psktls.Config {
	c.CipherSuites = []uint16{id}
	if id == psktls.TLS_AES_256_GCM_SHA384 {
		c.Hash = crypto.SHA384
	}
	return c
}

func TestOpenSSLServer(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, opensslSuites, func(t *testing.T, suite peerSuite) {
			p, addr := opensslServer(t, opensslArgs(t, suite.id, suite.name)...)
			c, err := dial(t, addr, only(at.client(), suite.id))
			if err != nil {
				t.Fatal(err)
			}
			if s := c.ConnectionState(); s.CipherSuite != suite.id || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			p.Exchange(c)
			if err := c.CloseWrite(); err != nil {
				t.Error(err)
			}
			ends(t, c)
		})
	})
}

func TestOpenSSLClient(t *testing.T) {
	everyPlace(t, func(t *testing.T, at place) {
		eachSuite(t, at, opensslSuites, func(t *testing.T, suite peerSuite) {
			s := listen(t, only(at.server(), suite.id), nil)
			p := realparts.StartTyped(t, "openssl", append([]string{"s_client", "-connect", s.addr}, opensslArgs(t, suite.id, suite.name)...)...)
			c := s.conn(t)
			if s := c.ConnectionState(); s.CipherSuite != suite.id || string(s.Identity) != identity || !s.ExtendedMasterSecret {
				t.Errorf("state %+v", s)
			}
			p.Exchange(c)
			p.Says("Q\n")
			ends(t, c)
		})
	})
}

func TestOpenSSLServerEndsAndSoDoWe(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		_, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, version, "-www") // hangs up after an answer
		c, err := dial(t, addr, clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if page, err := io.ReadAll(c); err != nil || !strings.Contains(string(page), "200 ok") {
			t.Errorf("%v after %q", err, page)
		}
	}
}

func TestOurCloseNotifyReachesOpenSSL(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		p, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, version)
		c, err := dial(t, addr, clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
		ends(t, c) // it answers with its own
		p.WaitLog(`DONE`)
		if out := p.Output(); strings.Contains(out, "ERROR") {
			t.Error("OpenSSL is not content with the end")
		}

		s := listen(t, serverConfig(), nil)
		client := realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, version)
		s.conn(t).Close()
		if code := client.Wait(); code != 0 || !strings.Contains(client.Output(), "closed") {
			t.Errorf("s_client exits with %d after close_notify", code)
		}
	}
}

func TestOpenSSLChangesKeysAndSoDoWe(t *testing.T) {
	update := func(t *testing.T, c *psktls.Conn, p *realparts.Typed) {
		for i, command := range []string{"K\n", "k\n", "K\n"} { // K asks us to do likewise
			p.Says(command)
			p.Says("after update\n")
			line := make([]byte, len("after update\n"))
			if _, err := io.ReadFull(c, line); err != nil || string(line) != "after update\n" {
				t.Fatalf("%q, %v", line, err)
			}
			if err := c.UpdateKeys(i > 0); err != nil {
				t.Fatal(err)
			}
			answer := "our answer " + string(rune('0'+i))
			if _, err := io.WriteString(c, answer+"\n"); err != nil {
				t.Fatal(err)
			}
			p.WaitLog(answer)
		}
		p.Exchange(c)
	}
	t.Run("server", func(t *testing.T) {
		p, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, "-tls1_3")
		c, err := dial(t, addr, clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		update(t, c, p)
	})
	t.Run("client", func(t *testing.T) {
		s := listen(t, serverConfig(), nil)
		p := realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, "-tls1_3")
		update(t, s.conn(t), p)
	})
}

func TestOpenSSLWithoutForwardSecrecyInTLS13(t *testing.T) {
	config := clientConfig()
	config.Curves = []tls.CurveID{}
	p, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, "-tls1_3", "-allow_no_dhe_kex")
	c, err := dial(t, addr, config)
	if err != nil {
		t.Fatal(err)
	}
	if curve := c.ConnectionState().Curve; curve != 0 {
		t.Errorf("forward secrecy by %v although we have no curve", curve)
	}
	p.Exchange(c)

	config = serverConfig()
	config.Curves = []tls.CurveID{}
	s := listen(t, config, nil)
	p = realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, "-tls1_3", "-allow_no_dhe_kex")
	p.Exchange(s.conn(t))
}

func TestOpenSSLAndHelloRetryRequest(t *testing.T) {
	p, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, "-tls1_3", "-groups", "P-256")
	c, err := dial(t, addr, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	if curve := c.ConnectionState().Curve; curve != psktls.CurveP256 {
		t.Error(curve)
	}
	p.Exchange(c)

	config := serverConfig()
	config.Curves = []tls.CurveID{psktls.CurveP256}
	s := listen(t, config, nil)
	p = realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, "-tls1_3", "-groups", "X25519:P-256")
	p.Exchange(s.conn(t))
}

func TestAHintFromOpenSSLIsPassedOver(t *testing.T) {
	p, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, "-psk_hint", "try this", "-tls1_2", "-cipher", "PSK-AES128-GCM-SHA256")
	c, err := dial(t, addr, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	p.Exchange(c)
}

func TestOpenSSLRefusesTheWrongAndSoDoWe(t *testing.T) {
	wrongKey, stranger := clientConfig(), clientConfig()
	wrongKey.Key = psktls.SecretKey([]byte("not the key at all"))
	stranger.Identity = []byte("a stranger")
	for _, c := range []struct {
		version string
		config  *psktls.Config
		alert   psktls.Alert // of OpenSSL's choice
	}{
		{"-tls1_2", wrongKey, psktls.AlertBadRecordMAC},
		{"-tls1_3", wrongKey, psktls.AlertIllegalParameter},
		{"-tls1_3", stranger, psktls.AlertMissingExtension}, // it would go on with certificates
	} {
		_, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, c.version)
		_, err := dial(t, addr, c.config)
		wantAlert(t, err, c.alert, true)
	}
	for version, alert := range map[string]psktls.Alert{"-tls1_2": psktls.AlertBadRecordMAC, "-tls1_3": psktls.AlertDecryptError} {
		for _, args := range [][]string{
			{"-psk", strings.Repeat("00", 32), "-psk_identity", identity},
			{"-psk", pskHex, "-psk_identity", "a stranger"},
		} {
			s := listen(t, serverConfig(), nil)
			p := realparts.StartTyped(t, "openssl", append([]string{"s_client", "-connect", s.addr, version}, args...)...)
			err := s.failure(t)
			wantAlert(t, err, alert, false)
			if unknown := args[3] != identity; errors.Is(err, psktls.ErrUnknownIdentity) != unknown {
				t.Error(err)
			}
			p.WaitLog("alert (bad record mac|decrypt error)")
		}
	}
}

// flipper turns a bit in the last byte of every record of application data that is written.
type flipper struct {
	net.Conn
	on bool
}

func (f *flipper) Write(b []byte) (int, error) {
	if f.on && b[0] == 23 {
		b = bytes.Clone(b)
		b[len(b)-1] ^= 1
	}
	return f.Conn.Write(b)
}

func TestOpenSSLDetectsAFlippedBit(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		var f *flipper
		s := listen(t, serverConfig(), func(conn net.Conn) net.Conn { f = &flipper{Conn: conn}; return f })
		realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, version)
		c := s.conn(t)
		f.on = true
		if _, err := io.WriteString(c, "hello\n"); err != nil {
			t.Fatal(err)
		}
		_, err := c.Read(make([]byte, 1))
		wantAlert(t, err, psktls.AlertBadRecordMAC, true)
	}
}

func TestOpenSSLWithALPNAndServerName(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		config := serverConfig()
		config.NextProtos = []string{"coap", "mqtt"}
		s := listen(t, config, nil)
		p := realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, version, "-alpn", "http/1.1,mqtt", "-servername", "device.example")
		if state := s.conn(t).ConnectionState(); state.NegotiatedProtocol != "mqtt" || state.ServerName != "device.example" {
			t.Errorf("state %+v", state)
		}
		p.WaitLog(`ALPN protocol: mqtt`)

		client := clientConfig()
		client.NextProtos, client.ServerName = []string{"mqtt", "coap"}, "device.example"
		_, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, version, "-alpn", "coap")
		c, err := dial(t, addr, client)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().NegotiatedProtocol; got != "coap" {
			t.Error(got)
		}
	}
}

func TestOpenSSLExportsTheSameKeyingMaterial(t *testing.T) {
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		s := listen(t, serverConfig(), nil)
		p := realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, version, "-keymatexport", "EXPORTER-simroot", "-keymatexportlen", "24")
		state := s.conn(t).ConnectionState()
		got, err := state.ExportKeyingMaterial("EXPORTER-simroot", nil, 24)
		if err != nil {
			t.Fatal(err)
		}
		want := p.WaitLog(`Keying material: ([0-9A-F]{48})`)[1]
		if strings.ToUpper(hex.EncodeToString(got)) != want {
			t.Errorf("%s: %X instead of %s", version, got, want)
		}
	}
}

func TestOpenSSLWithoutExtendedMasterSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "openssl.cnf") // there is no option for it
	conf := "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nOptions = -ExtendedMasterSecret\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, required := range []bool{false, true} {
		config := serverConfig()
		config.RequireExtendedMasterSecret = required
		s := listen(t, config, nil)
		p := realparts.StartTyped(t, "env", "OPENSSL_CONF="+file, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, "-tls1_2")
		if required {
			wantAlert(t, s.failure(t), psktls.AlertHandshakeFailure, false)
			continue
		}
		c := s.conn(t)
		p.Exchange(c)
		state := c.ConnectionState()
		if _, err := state.ExportKeyingMaterial("EXPORTER-simroot", nil, 32); state.ExtendedMasterSecret || !errors.Is(err, psktls.ErrNoExport) {
			t.Errorf("extended %v, export: %v", state.ExtendedMasterSecret, err)
		}
	}
}

func TestRenegotiationByOpenSSLIsRefused(t *testing.T) {
	p, addr := opensslServer(t, "-psk", pskHex, "-psk_identity", identity, "-tls1_2", "-cipher", "PSK-AES128-GCM-SHA256")
	c, err := dial(t, addr, clientConfig())
	if err != nil {
		t.Fatal(err)
	}
	p.Says("r\n")
	_, err = c.Read(make([]byte, 1))
	wantAlert(t, err, psktls.AlertNoRenegotiation, false)

	s := listen(t, serverConfig(), nil)
	client := realparts.StartTyped(t, "openssl", "s_client", "-connect", s.addr, "-psk", pskHex, "-psk_identity", identity, "-tls1_2")
	conn := s.conn(t)
	client.Says("R\n")
	_, err = conn.Read(make([]byte, 1))
	wantAlert(t, err, psktls.AlertNoRenegotiation, false)
}
