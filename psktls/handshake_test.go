package psktls

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

var (
	testIdentity = []byte("8944501234567890123")
	testPSK      = bytes.Repeat([]byte{0x5A, 0x17}, 16)
)

// clientConfig and serverConfig agree with each other.
func clientConfig() *Config {
	return &Config{Identity: testIdentity, Key: SecretKey(testPSK)}
}

func serverConfig() *Config {
	return &Config{GetKey: func(_ context.Context, identity []byte) (Key, error) {
		if !bytes.Equal(identity, testIdentity) {
			return nil, ErrUnknownIdentity
		}
		return SecretKey(testPSK), nil
	}}
}

// with is a Config with one suite, and all that it needs.
func with(c *Config, s *suite) *Config {
	c.CipherSuites, c.AllowPSKOnly, c.Hash = []uint16{s.id}, !s.ecdhe, s.hash
	return c
}

// echo sends data from one side to the other and back.
func echo(t *testing.T, from, to *Conn, data []byte) {
	t.Helper()
	failed := make(chan error, 1)
	go func() {
		got := make([]byte, len(data))
		_, err := io.ReadFull(to, got)
		if err == nil && !bytes.Equal(got, data) {
			err = errors.New("other data arrived")
		}
		if err == nil {
			_, err = to.Write(got)
		}
		failed <- err
	}()
	if _, err := from.Write(data); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data))
	if _, err := io.ReadFull(from, got); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatal("other data came back")
	}
}

func TestEverySuiteCarriesData(t *testing.T) {
	megabyte := make([]byte, 1<<20)
	for i := range megabyte {
		megabyte[i] = byte(i * i >> 3)
	}
	for _, suite := range suites {
		for _, curve := range defaultCurves {
			t.Run(fmt.Sprintf("%s/%v", suite.name, curve), func(t *testing.T) {
				client, server := with(clientConfig(), suite), with(serverConfig(), suite)
				client.Curves = []tls.CurveID{curve}
				client.NextProtos, server.NextProtos = []string{"mqtt", "coap"}, []string{"coap", "mqtt"}
				client.ServerName = "example.net"
				c, s := connected(t, client, server)
				echo(t, c, s, []byte("hello"))
				echo(t, s, c, megabyte)

				cs, ss := c.ConnectionState(), s.ConnectionState()
				want := curve
				if !suite.ecdhe {
					want = 0
				}
				for _, got := range []ConnectionState{cs, ss} {
					if !got.HandshakeComplete || got.Version != suite.version || got.CipherSuite != suite.id || got.Curve != want ||
						!bytes.Equal(got.Identity, testIdentity) || got.NegotiatedProtocol != "coap" || got.ServerName != "example.net" || !got.ExtendedMasterSecret {
						t.Errorf("state %+v", got)
					}
				}
				a, errA := cs.ExportKeyingMaterial("EXPORTER-test", []byte("context"), 40)
				b, errB := ss.ExportKeyingMaterial("EXPORTER-test", []byte("context"), 40)
				if errA != nil || errB != nil || !bytes.Equal(a, b) || len(a) != 40 {
					t.Errorf("exported %x, %v and %x, %v", a, errA, b, errB)
				}
			})
		}
	}
}

func TestTheNewestVersionIsChosen(t *testing.T) {
	c, _ := connected(t, clientConfig(), serverConfig())
	if s := c.ConnectionState(); s.Version != VersionTLS13 || s.Curve != X25519 {
		t.Errorf("version %x with %v", s.Version, s.Curve)
	}
	old := serverConfig()
	old.MaxVersion = VersionTLS12
	c, _ = connected(t, clientConfig(), old)
	if s := c.ConnectionState(); s.Version != VersionTLS12 || s.CipherSuite != TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256 {
		t.Errorf("version %x with %s", s.Version, CipherSuiteName(s.CipherSuite))
	}
}

func TestForwardSecrecyIsGivenUpOnlyByBothSides(t *testing.T) {
	for _, version := range []uint16{VersionTLS12, VersionTLS13} {
		plain := func(c *Config) *Config {
			c.MinVersion, c.MaxVersion, c.AllowPSKOnly, c.Curves = version, version, true, []tls.CurveID{}
			return c
		}
		c, _ := connected(t, plain(clientConfig()), plain(serverConfig()))
		if curve := c.ConnectionState().Curve; curve != 0 {
			t.Errorf("%x: %v although neither side has a curve", version, curve)
		}
		_, _, err, _ := handshakes(t, plain(clientConfig()), serverConfig())
		wantAlert(t, err, AlertHandshakeFailure, true)
		_, _, _, err = handshakes(t, clientConfig(), plain(serverConfig()))
		wantAlert(t, err, AlertHandshakeFailure, false)

		both := clientConfig()
		both.AllowPSKOnly, both.MaxVersion = true, version
		server := serverConfig()
		server.AllowPSKOnly = true
		c, _ = connected(t, both, server)
		if curve := c.ConnectionState().Curve; curve == 0 {
			t.Errorf("%x: no forward secrecy although both sides can", version)
		}
	}
}

func TestAServerAsksForTheCurveItKnows(t *testing.T) {
	server := serverConfig()
	server.Curves = []tls.CurveID{CurveP256}
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		client := clientConfig()
		client.Hash, server.Hash = hash, hash
		c, s := connected(t, client, server)
		if got := c.ConnectionState(); got.Curve != CurveP256 || got.Version != VersionTLS13 {
			t.Errorf("%v in %x", got.Curve, got.Version)
		}
		echo(t, c, s, []byte("hello"))
	}
}

func TestAWrongKeyAndAnUnknownIdentityLookAlike(t *testing.T) {
	for _, version := range []uint16{VersionTLS12, VersionTLS13} {
		for _, plain := range []bool{false, true} {
			var seen []string
			for _, wrong := range []*Config{
				{Identity: testIdentity, Key: SecretKey([]byte("not the key of this identity"))},
				{Identity: []byte("a stranger"), Key: SecretKey(testPSK)},
			} {
				wrong.MaxVersion, wrong.MinVersion, wrong.AllowPSKOnly = version, version, plain
				server := serverConfig()
				server.AllowPSKOnly = plain
				_, _, clientErr, serverErr := handshakes(t, wrong, server)
				want := AlertBadRecordMAC
				if version == VersionTLS13 {
					want = AlertDecryptError
				}
				wantAlert(t, clientErr, want, true)
				wantAlert(t, serverErr, want, false)
				if unknown := string(wrong.Identity) == "a stranger"; errors.Is(serverErr, ErrUnknownIdentity) != unknown {
					t.Errorf("%x: the server says %v", version, serverErr)
				}
				seen = append(seen, clientErr.Error())
			}
			if seen[0] != seen[1] {
				t.Errorf("%x: the client sees %q or %q", version, seen[0], seen[1])
			}
		}
	}
}

func wantAlert(t *testing.T, err error, alert Alert, remote bool) {
	t.Helper()
	var got *AlertError
	if !errors.As(err, &got) || got.Alert != alert || got.Remote != remote {
		t.Errorf("%v, want %v, remote %v", err, alert, remote)
	}
}

// brokenKey fails, or returns secrets of the wrong length.
type brokenKey struct{ err error }

func (k brokenKey) MasterSecret(context.Context, crypto.Hash, []byte, string, []byte) ([]byte, error) {
	return []byte("short"), k.err
}
func (k brokenKey) EarlySecret(context.Context, crypto.Hash) ([]byte, error) {
	return []byte("short"), k.err
}

func TestAKeyThatFailsEndsTheHandshake(t *testing.T) {
	for _, version := range []uint16{VersionTLS12, VersionTLS13} {
		for _, cause := range []error{nil, errors.New("the SIM is gone")} {
			server := serverConfig()
			server.MaxVersion = version
			server.GetKey = func(context.Context, []byte) (Key, error) { return brokenKey{cause}, nil }
			_, _, clientErr, serverErr := handshakes(t, clientConfig2(version), server)
			wantAlert(t, clientErr, AlertInternalError, true)
			wantAlert(t, serverErr, AlertInternalError, false)
			if cause != nil && !errors.Is(serverErr, cause) {
				t.Errorf("the cause is lost: %v", serverErr)
			}

			client := clientConfig2(version)
			client.Key = brokenKey{cause}
			_, _, clientErr, serverErr = handshakes(t, client, serverConfig())
			wantAlert(t, clientErr, AlertInternalError, false)
			wantAlert(t, serverErr, AlertInternalError, true)
		}
	}
	server := serverConfig()
	down := errors.New("the database is down")
	server.GetKey = func(context.Context, []byte) (Key, error) { return nil, down }
	_, _, clientErr, serverErr := handshakes(t, clientConfig(), server)
	wantAlert(t, clientErr, AlertInternalError, true)
	if !errors.Is(serverErr, down) {
		t.Error(serverErr)
	}
}

func clientConfig2(version uint16) *Config {
	c := clientConfig()
	c.MinVersion, c.MaxVersion = version, version
	return c
}

func TestSidesThatDoNotAgreeSaySo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(client, server *Config)
		alert  Alert
	}{
		"no version in common": {func(c, s *Config) { c.MaxVersion, s.MinVersion = VersionTLS12, VersionTLS13 }, AlertProtocolVersion},
		"no older one":         {func(c, s *Config) { s.MaxVersion, c.MinVersion = VersionTLS12, VersionTLS13 }, AlertProtocolVersion},
		"no protocol":          {func(c, s *Config) { c.NextProtos, s.NextProtos = []string{"a"}, []string{"b"} }, AlertNoApplicationProtocol},
		"no suite": {func(c, s *Config) {
			c.CipherSuites, s.CipherSuites = []uint16{TLS_AES_128_GCM_SHA256}, []uint16{TLS_CHACHA20_POLY1305_SHA256}
		}, AlertHandshakeFailure},
		"no suite in TLS 1.2": {func(c, s *Config) {
			c.CipherSuites, s.CipherSuites = []uint16{TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256}, []uint16{TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256}
		}, AlertHandshakeFailure},
		"no curve":     {func(c, s *Config) { c.Curves, s.Curves = []tls.CurveID{X25519}, []tls.CurveID{CurveP256} }, AlertHandshakeFailure},
		"another hash": {func(c, s *Config) { c.Hash = crypto.SHA384 }, AlertHandshakeFailure},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := clientConfig(), serverConfig()
			c.change(client, server)
			_, _, clientErr, serverErr := handshakes(t, client, server)
			wantAlert(t, clientErr, c.alert, true)
			wantAlert(t, serverErr, c.alert, false)
		})
	}
}

func TestUnusableConfigsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no identity":      func(c *Config) { c.Identity = nil },
		"a long identity":  func(c *Config) { c.Identity = make([]byte, MaxIdentity+1) },
		"no key":           func(c *Config) { c.Key = nil },
		"SHA-1":            func(c *Config) { c.Hash = crypto.SHA1 },
		"TLS 1.1":          func(c *Config) { c.MinVersion = tls.VersionTLS11 },
		"an unknown suite": func(c *Config) { c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} },
		"no suite":         func(c *Config) { c.CipherSuites = []uint16{} },
		"no secrecy":       func(c *Config) { c.CipherSuites = []uint16{TLS_PSK_WITH_AES_128_CCM_8} },
		"an unknown curve": func(c *Config) { c.Curves = []tls.CurveID{tls.CurveP521} },
		"an empty ALPN":    func(c *Config) { c.NextProtos = []string{""} },
		"a long name":      func(c *Config) { c.ServerName = strings.Repeat("a", 256) },
	} {
		c := clientConfig()
		spoil(c)
		if err := Client(nil, c).Handshake(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []*Config{nil, {}} {
		if err := Server(nil, c).Handshake(); !errors.Is(err, ErrConfig) {
			t.Error(err)
		}
	}
}

func TestImportedKeysAreAKindOfTheirOwn(t *testing.T) {
	importKey := func(hash crypto.Hash) ([]byte, Key) {
		identity, key, err := Import(t.Context(), SecretKey(testPSK), testIdentity, []byte("device to server"), hash)
		if err != nil {
			t.Fatal(err)
		}
		return identity, key
	}
	for _, hash := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		identity, key := importKey(hash)
		client := &Config{Identity: identity, Key: key, Hash: hash, MinVersion: VersionTLS13}
		server := &Config{Hash: hash, GetKey: func(_ context.Context, got []byte) (Key, error) {
			if !bytes.Equal(got, identity) {
				return nil, ErrUnknownIdentity
			}
			return key, nil
		}}
		connected(t, client, server)

		// The same secret as an external key is not the same key.
		server.GetKey = func(context.Context, []byte) (Key, error) { return &key.(*importedKey).secretKey, nil }
		_, _, err, _ := handshakes(t, client, server)
		wantAlert(t, err, AlertDecryptError, true)
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	key := SecretKey([]byte("top secret"))
	identity, imported, err := Import(t.Context(), key, testIdentity, nil, crypto.SHA256)
	if err != nil || len(identity) == 0 {
		t.Fatal(err)
	}
	for _, k := range []Key{key, imported} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if out := fmt.Sprintf(verb, k); !strings.Contains(out, "hidden") || strings.Contains(out, "top secret") {
				t.Errorf("%s: %s", verb, out)
			}
		}
	}
}
