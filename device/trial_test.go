package device

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/vsim"
)

// server accepts TLS connections, does their handshakes, and counts them.
func server(t *testing.T, accept func(net.Conn) tlsConn) (address string, handshakes *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	handshakes = &atomic.Int32{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			c := accept(raw)
			handshakes.Add(1)
			if c.HandshakeContext(t.Context()) == nil {
				c.Close()
			}
			raw.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	return l.Addr().String(), handshakes
}

type tlsConn = interface {
	net.Conn
	HandshakeContext(context.Context) error
}

// onTrial is a view of a SIM that has nothing but the credential on trial.
func onTrial(t *testing.T, sim *vsim.Card, c api.Credential) *Device {
	t.Helper()
	d := opened(t, sim)
	d.only = &c
	return d
}

func TestACredentialOnTrialProvesItselfInAHandshake(t *testing.T) {
	ca := fixture.NewCA(t)
	sim, leaf := ca.TrialSIM(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	d := onTrial(t, sim, api.Credential{Type: api.CertificateType, Certificate: leaf})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		config := ca.ServerConfig()
		config.MaxVersion = version
		address, handshakes := server(t, func(c net.Conn) tlsConn { return tls.Server(c, config) })
		if err := HandshakeWith(nil, address)(t.Context(), d); err != nil || handshakes.Load() != 1 {
			t.Errorf("%s: %v after %d handshakes", tls.VersionName(version), err, handshakes.Load())
		}
	}
	// Nobody else takes it for the SIM's credential.
	if _, err := opened(t, sim).Credential(t.Context()); !errors.Is(err, ErrNoCredential) {
		t.Errorf("%v", err)
	}
}

// A renewal is tried with the key that is in use; the SIM has its certificate only afterwards.
func TestACertificateThatIsNotOnTheSIMIsTriedWithItsKey(t *testing.T) {
	ca := fixture.NewCA(t)
	sim := ca.GoodSIM()
	plain := opened(t, sim)
	old, err := plain.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	renewed := ca.Renewal(old.Certificate)
	config := ca.ServerConfig()
	var shown []byte
	config.VerifyPeerCertificate = func(chain [][]byte, _ [][]*x509.Certificate) error {
		shown = chain[0]
		return nil
	}
	address, handshakes := server(t, func(c net.Conn) tlsConn { return tls.Server(c, config) })
	d := onTrial(t, sim, api.Credential{Type: api.CertificateType, Certificate: renewed})
	if err := HandshakeWith(nil, address)(t.Context(), d); err != nil || handshakes.Load() != 1 || !bytes.Equal(shown, renewed) {
		t.Errorf("%v after %d handshakes; it shows the renewed certificate: %v", err, handshakes.Load(), bytes.Equal(shown, renewed))
	}
	plain.Forget()
	if still, err := plain.Credential(t.Context()); err != nil || !still.Certificate.Equal(old.Certificate) {
		t.Errorf("the SIM's own certificate is another, %v", err)
	}
	_, stranger := ca.TrialSIM(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	d = onTrial(t, sim, api.Credential{Type: api.CertificateType, Certificate: stranger})
	if _, err := d.Credential(t.Context()); !errors.Is(err, ErrNoCredential) {
		t.Errorf("a certificate for another key: %v", err)
	}
}

func TestAServerThatHasNotHeardOfACredentialIsAskedAgain(t *testing.T) {
	ca := fixture.NewCA(t)
	sim, leaf := ca.TrialSIM(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		var known atomic.Bool
		config := ca.ServerConfig()
		config.MaxVersion = version
		config.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error {
			if !known.Swap(true) {
				return errors.New("unknown")
			}
			return nil
		}
		address, handshakes := server(t, func(c net.Conn) tlsConn { return tls.Server(c, config) })
		d := onTrial(t, sim, api.Credential{Type: api.CertificateType, Certificate: leaf})
		if err := HandshakeWith(nil, address)(t.Context(), d); err != nil || handshakes.Load() != 2 {
			t.Errorf("%s: %v after %d handshakes", tls.VersionName(version), err, handshakes.Load())
		}
	}
}

func TestATrialTellsWhatWentWrong(t *testing.T) {
	ca := fixture.NewCA(t)
	sim, leaf := ca.TrialSIM(time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	d := onTrial(t, sim, api.Credential{Type: api.CertificateType, Certificate: leaf})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	if err := HandshakeWith(nil, nobody)(t.Context(), d); !errors.Is(err, errUnreached) || !strings.Contains(err.Error(), nobody) {
		t.Errorf("%v", err)
	}
	d = onTrial(t, sim, api.Credential{Type: api.CertificateType, Certificate: []byte("another")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no patience with a SIM that does not hold it
	if err := HandshakeWith(nil, nobody)(ctx, d); err == nil {
		t.Error("a SIM without the credential passed the trial")
	}
}

func TestAPSKOnTrialProvesItselfInAHandshake(t *testing.T) {
	secret := slices.Repeat([]byte{7}, 32)
	sim := fixture.NewSIM(t, "type: 2\nsecrets:\n- {id: \"22\", label: \"psk on trial:meter 1\", hex: \""+strings.Repeat("07", 32)+"\"}\n")
	address, handshakes := server(t, func(c net.Conn) tlsConn {
		return psktls.Server(c, &psktls.Config{GetKey: func(_ context.Context, identity []byte) (psktls.Key, error) {
			if string(identity) != "meter 1" {
				return nil, psktls.ErrUnknownIdentity
			}
			return psktls.SecretKey(secret), nil
		}})
	})
	d := onTrial(t, sim, api.Credential{Type: api.PSKType, Identity: "meter 1"})
	if err := HandshakeWith(nil, address)(t.Context(), d); err != nil || handshakes.Load() != 1 {
		t.Errorf("%v after %d handshakes", err, handshakes.Load())
	}
}
