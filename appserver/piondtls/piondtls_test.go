package piondtls_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/appserver/piondtls"
)

var loopback = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}

// dial is a device of pion's.
func dial(t *testing.T, ln *appserver.Listener, patience time.Duration, options ...dtls.ClientOption) (*dtls.Conn, error) {
	t.Helper()
	conn, err := dtls.DialWithOptions("udp", ln.Addr().(*net.UDPAddr), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return conn, conn.HandshakeContext(ctx)
}

func withCertificate(p *platformtest.Platform, sim platformtest.SIM) []dtls.ClientOption {
	return []dtls.ClientOption{dtls.WithCertificates(sim.Certificate), dtls.WithRootCAs(p.CA.Roots), dtls.WithServerName("server.example")}
}

func withPSK(k platformtest.PSK) []dtls.ClientOption {
	return []dtls.ClientOption{
		dtls.WithPSK(func([]byte) ([]byte, error) { return k.Secret, nil }), dtls.WithPSKIdentityHint([]byte(k.Identity)),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256),
	}
}

// kinds are the two kinds of credential, each as a listener and a device of a new SIM.
var kinds = map[string]func(t *testing.T, p *platformtest.Platform, m *servertest.Server) (ln *appserver.Listener, credential string, device []dtls.ClientOption){
	"certificate": func(t *testing.T, p *platformtest.Platform, m *servertest.Server) (*appserver.Listener, string, []dtls.ClientOption) {
		sim := p.Provision(t, platformtest.ICCID(1))
		ln, err := piondtls.Listen(m.Middleware, "udp", loopback, dtls.WithCertificates(p.CA.Server(t, "server.example")))
		if err != nil {
			t.Fatal(err)
		}
		return ln, sim.Credential, withCertificate(p, sim)
	},
	"PSK": func(t *testing.T, p *platformtest.Platform, m *servertest.Server) (*appserver.Listener, string, []dtls.ClientOption) {
		k := p.ProvisionPSK(t, platformtest.ICCID(1), m.Public)
		ln, err := piondtls.ListenPSK(m.Middleware, "udp", loopback, dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256))
		if err != nil {
			t.Fatal(err)
		}
		return ln, k.Credential, withPSK(k)
	},
}

func TestASIMIsLetInOverPionAndCutOffWithItsCredential(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			m := servertest.Open(t, p)
			ln, credential, options := kind(t, p, m)
			t.Cleanup(func() { ln.Close() })
			m.InStep(t)
			device, err := dial(t, ln, servertest.Patience, options...)
			if err != nil {
				t.Fatal(err)
			}
			conn := servertest.Accept(t, ln)
			if id, ok := appserver.IdentityOf(conn); !ok || id.ICCID != platformtest.ICCID(1) || id.Credential != credential {
				t.Errorf("identity %+v, %v", id, ok)
			}
			if _, err := device.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 100)
			if n, err := conn.Read(got); err != nil || string(got[:n]) != "hello" {
				t.Fatalf("%q, %v", got[:n], err)
			}
			p.SetCredential(credential, api.Revoked)
			device.SetReadDeadline(time.Now().Add(servertest.Patience)) //nolint:errcheck // the test would hang and tell
			var late net.Error
			if _, err := device.Read(got); err == nil || errors.As(err, &late) && late.Timeout() {
				t.Errorf("the device is not told of the end: %v", err)
			}
			if _, err := conn.Read(got); !errors.Is(err, appserver.ErrRevoked) {
				t.Errorf("the server's read: %v", err)
			}
			if _, err := dial(t, ln, time.Second, options...); err == nil {
				t.Error("it was let in again")
			}
		})
	}
}

func TestAStrangersCertificateIsRefusedOverPion(t *testing.T) {
	p := platformtest.New(t)
	m := servertest.Open(t, p)
	ln, _, _ := kinds["certificate"](t, p, m)
	t.Cleanup(func() { ln.Close() })
	stranger := platformtest.SIM{Certificate: p.CA.Device(t, platformtest.ICCID(9))} // of the CA, but not known
	if _, err := dial(t, ln, time.Second, withCertificate(p, stranger)...); err == nil {
		t.Error("was let in")
	}
	none := []dtls.ClientOption{dtls.WithRootCAs(p.CA.Roots), dtls.WithServerName("server.example")}
	if _, err := dial(t, ln, time.Second, none...); err == nil {
		t.Error("was let in without a certificate")
	}
}

func TestOptionsThatCannotServeAreRefusedAtOnce(t *testing.T) {
	p := platformtest.New(t)
	m := servertest.Open(t, p)
	if _, err := piondtls.ListenPSK(m.Middleware, "udp", loopback, dtls.WithCipherSuites(dtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)); err == nil {
		t.Error("a suite for certificates with PSKs is no error")
	}
}

// Over DTLS both run into silence, at the same point.
func TestUnknownAndWrongPSKsLookAlikeOverPion(t *testing.T) {
	p := platformtest.New(t)
	m := servertest.Open(t, p)
	ln, _, _ := kinds["PSK"](t, p, m)
	t.Cleanup(func() { ln.Close() })
	wrong := p.ProvisionPSK(t, platformtest.ICCID(2), m.Public)
	m.InStep(t)
	wrong.Secret[0] ^= 1
	unknown := wrong
	unknown.Identity = "a stranger"
	var seen []string
	for _, k := range []platformtest.PSK{wrong, unknown} {
		_, err := dial(t, ln, time.Second, withPSK(k)...)
		if err == nil {
			t.Fatal("was let in")
		}
		seen = append(seen, err.Error())
	}
	if seen[0] != seen[1] {
		t.Errorf("the client sees %q or %q", seen[0], seen[1])
	}
}
