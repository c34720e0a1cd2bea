package psktls

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

// authority is a CA for a test.
type authority struct {
	t     testing.TB
	cert  *x509.Certificate
	key   crypto.Signer
	roots *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newP256(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a CA for a test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t, cert, key, x509.NewCertPool()}
	a.roots.AddCert(cert)
	return a
}

func newP256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate for server.example, 127.0.0.1 and clients, changed as the test wants.
func (a *authority) issue(key crypto.Signer, change func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "someone"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"server.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// certified is a client with a certificate, and a server of crypto/tls that wants one.
func (a *authority) certified() (*Config, *tls.Config) {
	own := a.issue(newP256(a.t), nil)
	return &Config{
			ServerName:   "server.example",
			Certificates: &Certificates{Roots: a.roots, Client: func(context.Context) (*tls.Certificate, error) { return &own, nil }},
		}, &tls.Config{
			Certificates: []tls.Certificate{a.issue(newP256(a.t), nil)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: a.roots,
			MinVersion: tls.VersionTLS13,
		}
}

// meet is the handshake of a client with a server of crypto/tls.
func meet(t testing.TB, client *Config, server *tls.Config) (c *Conn, s *tls.Conn, clientErr, serverErr error) {
	t.Helper()
	a, b := pipe()
	c, s = Client(a, client), tls.Server(b, server)
	t.Cleanup(func() { a.Close(); b.Close() })
	done := make(chan error, 1)
	go func() {
		err := s.HandshakeContext(t.Context())
		if err != nil {
			b.out.end()
		}
		done <- err
	}()
	if clientErr = c.HandshakeContext(t.Context()); clientErr != nil {
		a.out.end()
	}
	return c, s, clientErr, <-done
}

func TestCertificatesTakeThePlaceOfThePSK(t *testing.T) {
	client, server := newAuthority(t).certified()
	client.NextProtos, server.NextProtos = []string{"mqtt", "coap"}, []string{"coap"}
	var offered []tls.SignatureScheme
	server.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		offered = hello.SignatureSchemes
		return nil, nil
	}
	c, s, err, serverErr := meet(t, client, server)
	if err != nil || serverErr != nil {
		t.Fatal(err, serverErr)
	}
	if len(offered) != 10 || offered[0] != tls.ECDSAWithP256AndSHA256 || offered[7] != tls.PKCS1WithSHA256 { // the last three for CAs only
		t.Errorf("offered signature schemes: %v", offered)
	}
	state, theirs := c.ConnectionState(), s.ConnectionState()
	if state.Version != VersionTLS13 || state.NegotiatedProtocol != "coap" || len(state.PeerCertificates) != 1 || len(theirs.PeerCertificates) != 1 ||
		state.Curve != X25519 || theirs.ServerName != "server.example" {
		t.Errorf("%+v", state)
	}
	ours, err := state.ExportKeyingMaterial("label", []byte("context"), 20)
	other, wrong := theirs.ExportKeyingMaterial("label", []byte("context"), 20)
	if err != nil || wrong != nil || !bytes.Equal(ours, other) {
		t.Error("keying material differs", err, wrong)
	}
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		io.Copy(s, s) //nolint:errcheck // the client will tell
		s.Close()
	}()
	go func() {
		for part := range 16 {
			if err := c.UpdateKeys(part%2 == 0); err != nil {
				t.Error(err)
			}
			if _, err := c.Write(data[part<<16 : (part+1)<<16]); err != nil {
				t.Error(err)
			}
		}
		if err := c.CloseWrite(); err != nil {
			t.Error(err)
		}
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
}

func TestEveryKindOfKeySignsAndIsVerified(t *testing.T) {
	a := newAuthority(t)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	long, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]crypto.Signer{"P-256": newP256(t), "Ed25519": edwards, "RSA": long}
	for name, curve := range map[string]elliptic.Curve{"P-384": elliptic.P384(), "P-521": elliptic.P521()} {
		if keys[name], err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	for name, key := range keys {
		client, server := a.certified()
		own := a.issue(key, nil)
		client.Certificates.Client = func(context.Context) (*tls.Certificate, error) { return &own, nil }
		server.Certificates = []tls.Certificate{own}
		if _, _, err, serverErr := meet(t, client, server); err != nil || serverErr != nil {
			t.Errorf("%s: %v, %v", name, err, serverErr)
		}
	}
}

// forger signs what it is not asked to.
type forger struct{ crypto.Signer }

func (f forger) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	other := bytes.Clone(digest)
	other[0] ^= 1
	return f.Signer.Sign(r, other, o)
}

func TestWhatIsWrongWithTheServerEndsTheHandshake(t *testing.T) {
	a := newAuthority(t)
	issue := func(s *tls.Config, change func(*x509.Certificate)) {
		s.Certificates = []tls.Certificate{a.issue(newP256(t), change)}
	}
	for name, c := range map[string]struct {
		change func(c *Config, s *tls.Config)
		alert  Alert
		says   string
	}{
		"another name": {func(c *Config, _ *tls.Config) { c.ServerName = "other.example" }, AlertBadCertificate, "server.example"},
		"another IP":   {func(c *Config, _ *tls.Config) { c.ServerName = "127.0.0.2" }, AlertBadCertificate, "127.0.0.2"},
		"another CA":   {func(c *Config, _ *tls.Config) { c.Certificates.Roots = newAuthority(t).roots }, AlertUnknownCA, "unknown authority"},
		"no CA":        {func(c *Config, _ *tls.Config) { c.Certificates.Roots = x509.NewCertPool() }, AlertUnknownCA, "unknown authority"},
		"expired": {func(_ *Config, s *tls.Config) {
			issue(s, func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) })
		}, AlertCertificateExpired, "expired"},
		"not yet valid": {func(c *Config, _ *tls.Config) {
			c.Certificates.Time = func() time.Time { return time.Now().Add(-30 * time.Minute) }
		}, 0, ""},
		"a clock before its time": {func(c *Config, _ *tls.Config) {
			c.Certificates.Time = func() time.Time { return time.Now().Add(-2 * time.Hour) }
		}, AlertCertificateExpired, "not yet valid"},
		"for clients only": {func(_ *Config, s *tls.Config) {
			issue(s, func(x *x509.Certificate) { x.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		}, AlertUnsupportedCertificate, "incompatible key usage"},
		"not for signatures": {func(_ *Config, s *tls.Config) {
			issue(s, func(x *x509.Certificate) { x.KeyUsage = x509.KeyUsageKeyEncipherment })
		}, AlertUnsupportedCertificate, "digital signatures"},
		"a wrong signature": {func(_ *Config, s *tls.Config) {
			own := &s.Certificates[0]
			own.PrivateKey = forger{own.PrivateKey.(crypto.Signer)}
		}, AlertDecryptError, "signature is wrong"},
	} {
		client, server := a.certified()
		c.change(client, server)
		conn, _, err, serverErr := meet(t, client, server)
		if c.alert == 0 {
			if err != nil || serverErr != nil {
				t.Errorf("%s: %v, %v", name, err, serverErr)
			}
			continue
		}
		var local *AlertError
		if !errors.As(err, &local) || local.Remote || local.Alert != c.alert || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v because of %q", name, err, c.alert, c.says)
		}
		if serverErr == nil || !strings.Contains(serverErr.Error(), "remote error") {
			t.Errorf("%s: the server sees %v", name, serverErr)
		}
		if _, err := conn.Write([]byte("secret")); err == nil {
			t.Errorf("%s: it writes all the same", name)
		}
	}
}

func TestTheServersNameMayBeAnAddress(t *testing.T) {
	for _, name := range []string{"127.0.0.1", "server.example"} {
		client, server := newAuthority(t).certified()
		client.ServerName = name
		_, s, err, serverErr := meet(t, client, server)
		if err != nil || serverErr != nil {
			t.Fatal(err, serverErr)
		}
		if sent := s.ConnectionState().ServerName; net.ParseIP(name) != nil && sent != "" {
			t.Errorf("server_name %q", sent)
		}
	}
}

// hears is the alert that the client has of the server, in the handshake or after it.
func hears(t *testing.T, c *Conn, err error, alert Alert, says string) {
	t.Helper()
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	if wantAlert(t, err, alert, true); !strings.Contains(err.Error(), says) {
		t.Errorf("%v, want it to say %q", err, says)
	}
}

func TestWhatTheServerRefusesIsToldApart(t *testing.T) {
	a := newAuthority(t)
	for name, c := range map[string]struct {
		change func(c *Config, s *tls.Config)
		alert  Alert
		says   string
	}{
		"a certificate of another CA": {func(_ *Config, s *tls.Config) { s.ClientCAs = newAuthority(t).roots }, AlertUnknownCA, "does not know the CA"},
		"an expired certificate": {func(c *Config, _ *tls.Config) {
			own := a.issue(newP256(t), func(x *x509.Certificate) { x.NotAfter = time.Now().Add(-time.Minute) })
			c.Certificates.Client = func(context.Context) (*tls.Certificate, error) { return &own, nil }
		}, AlertCertificateExpired, "run the onboarding"},
		"none": {func(c *Config, _ *tls.Config) { c.Certificates.Client = nil }, AlertCertificateRequired, "wants a certificate"},
		"another key's signature": {func(c *Config, _ *tls.Config) {
			own := a.issue(newP256(t), nil)
			own.PrivateKey = forger{own.PrivateKey.(crypto.Signer)}
			c.Certificates.Client = func(context.Context) (*tls.Certificate, error) { return &own, nil }
		}, AlertDecryptError, "does the key belong"},
		"TLS 1.3": {func(_ *Config, s *tls.Config) { s.MinVersion, s.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, AlertProtocolVersion, "TLS 1.3"},
		"the group": {func(c *Config, s *tls.Config) {
			c.Curves, s.CurvePreferences = []tls.CurveID{CurveP256}, []tls.CurveID{tls.X25519}
		}, AlertHandshakeFailure, "groups"},
		"the application": {func(c *Config, s *tls.Config) { c.NextProtos, s.NextProtos = []string{"mqtt"}, []string{"coap"} }, AlertNoApplicationProtocol, "NextProtos"},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := a.certified()
			c.change(client, server)
			conn, _, err, serverErr := meet(t, client, server)
			if serverErr == nil {
				t.Fatal("the server takes it")
			}
			hears(t, conn, err, c.alert, c.says)
		})
	}
}

func TestAServerThatAsksForNoCertificateGetsNone(t *testing.T) {
	client, server := newAuthority(t).certified()
	server.ClientAuth = tls.NoClientCert
	client.Certificates.Client = func(context.Context) (*tls.Certificate, error) { panic("not asked for") }
	_, s, err, serverErr := meet(t, client, server)
	if err != nil || serverErr != nil || len(s.ConnectionState().PeerCertificates) > 0 {
		t.Fatal(err, serverErr)
	}
	server.ClientAuth, client.Certificates.Client = tls.RequestClientCert, nil
	if _, _, err, serverErr := meet(t, client, server); err != nil || serverErr != nil {
		t.Fatal(err, serverErr)
	}
}

func TestAClientWithoutItsKeyEndsTheHandshake(t *testing.T) {
	a := newAuthority(t)
	gone := errors.New("the SIM is gone")
	broken := a.issue(newP256(t), nil)
	broken.PrivateKey = nil
	narrow := a.issue(newP256(t), nil)
	narrow.SupportedSignatureAlgorithms = []tls.SignatureScheme{tls.ECDSAWithP384AndSHA384}
	for name, c := range map[string]struct {
		own   *tls.Certificate
		err   error
		alert Alert
	}{
		"no certificate": {nil, gone, AlertInternalError},
		"no signer":      {&broken, nil, AlertInternalError},
		"no scheme":      {&narrow, nil, AlertHandshakeFailure},
	} {
		client, server := a.certified()
		client.Certificates.Client = func(context.Context) (*tls.Certificate, error) { return c.own, c.err }
		_, _, err, serverErr := meet(t, client, server)
		wantAlert(t, err, c.alert, false)
		if serverErr == nil || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%s: %v, the server %v", name, err, serverErr)
		}
	}
}

func TestAServerMayAskForAnotherGroup(t *testing.T) {
	client, server := newAuthority(t).certified()
	server.CurvePreferences = []tls.CurveID{CurveP256}
	exchange := &watched{}
	client.KeyExchange = exchange
	c, _, err, serverErr := meet(t, client, server)
	if err != nil || serverErr != nil {
		t.Fatal(err, serverErr)
	}
	if c.ConnectionState().Curve != CurveP256 || exchange.made != 2 || exchange.closed != 2 || exchange.used != 1 {
		t.Errorf("%+v", exchange)
	}
}

func TestConfigsWithCertificatesAreChecked(t *testing.T) {
	for name, change := range map[string]func(c *Config){
		"no name":            func(c *Config) { c.ServerName = "" },
		"a PSK too":          func(c *Config) { c.Key = SecretKey(testPSK) },
		"an identity too":    func(c *Config) { c.Identity = testIdentity },
		"no forward secrecy": func(c *Config) { c.AllowPSKOnly = true },
		"TLS 1.2 too":        func(c *Config) { c.MinVersion = VersionTLS12 },
		"TLS 1.2 only":       func(c *Config) { c.MaxVersion = VersionTLS12 },
		"no group":           func(c *Config) { c.Curves = []tls.CurveID{} },
		"another suite":      func(c *Config) { c.CipherSuites = []uint16{TLS_AES_256_GCM_SHA384} },
	} {
		client, _ := newAuthority(t).certified()
		change(client)
		a, _ := pipe()
		if err := Client(a, client).Handshake(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	client, _ := newAuthority(t).certified()
	if a, _ := pipe(); !errors.Is(Server(a, client).Handshake(), ErrConfig) {
		t.Error("a server takes it")
	}
}
