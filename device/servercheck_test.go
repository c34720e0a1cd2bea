package device

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
)

// Instructions of the check.
const (
	insVerifyInit = 0x2C
	insPutInit    = 0x24
)

// chains verifies the certificate of a server as crypto/tls does.
func chains(t *testing.T, ca *fixture.CA, server tls.Certificate) [][]*x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(server.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	verified, err := leaf.Verify(x509.VerifyOptions{Roots: ca.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	return verified
}

func TestTheSIMChecksServersInEveryVersionAndOnResumption(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serveTLS(t, ca.ServerConfig()) // on 127.0.0.1: a host without a name
	for name, c := range map[string]struct {
		keys string
		puts int // for each check
	}{
		"with a key that it holds":     {ca.HeldKey(), 0},
		"with a key put for each time": {fixture.PeerContainer, 1},
		"and prefers the one it holds": {fixture.PeerContainer + "\n" + ca.HeldKey(), 0},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s/%s", name, tls.VersionName(version)), func(t *testing.T) {
				sim := &watchedCard{Card: ca.SIMWith(c.keys)}
				config, err := sim.open(t, WithServerCheck()).TLSConfig(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				config.MaxVersion, config.ClientSessionCache = version, tls.NewLRUClientSessionCache(1)
				for visits, resumed := range []bool{false, true} {
					sim.lap()
					_, state, err := visit(t, server, config)
					if err != nil || state.DidResume != resumed || state.Version != version {
						t.Fatalf("visit %d: resumed %v, %v", visits, state.DidResume, err)
					}
					if checks, puts := sim.sent(insVerifyInit), sim.sent(insPutInit); checks != 1 || puts != c.puts {
						t.Errorf("visit %d: %d checks and %d keys put, want 1 and %d", visits, checks, puts, c.puts)
					}
				}
			})
		}
	}
}

func TestAHostWithAChangedTrustStoreIsFoundOut(t *testing.T) {
	ca, intruder := fixture.NewCA(t), fixture.NewCA(t)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{intruder.Server()}, ClientAuth: tls.RequestClientCert})
	for name, keys := range map[string]string{"held": ca.HeldKey(), "put": fixture.PeerContainer} {
		t.Run(name, func(t *testing.T) {
			sim := &watchedCard{Card: ca.SIMWith(keys)}
			for _, checked := range []bool{false, true} {
				opts := []Option{WithRoots(intruder.Pool())}
				if checked {
					opts = append(opts, WithServerCheck())
				}
				config, err := sim.open(t, opts...).TLSConfig(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, _, err = visit(t, server, config)
				if checked != errors.Is(err, ErrServerCheck) || checked != (err != nil) {
					t.Errorf("with the check %v: %v", checked, err)
				}
			}
		})
	}
}

func TestTheHostsOwnChecksStay(t *testing.T) {
	ca := fixture.NewCA(t)
	server := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.Server("elsewhere.example")}})
	sim := &watchedCard{Card: ca.SIMWith(ca.HeldKey())}
	config, err := sim.open(t, WithServerCheck()).TLSConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wrongName x509.HostnameError
	if _, _, err := visit(t, server, config); !errors.As(err, &wrongName) {
		t.Errorf("a server of another name: %v", err)
	}
	config.InsecureSkipVerify = true
	if _, _, err := visit(t, server, config); !errors.Is(err, ErrServerCheck) {
		t.Errorf("a chain that nobody has verified: %v", err)
	}
}

func TestASignatureThatIsNotTheAnchorsIsRefusedByTheSIM(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	for name, keys := range map[string]string{"held": ca.HeldKey(), "put": fixture.PeerContainer} {
		t.Run(name, func(t *testing.T) {
			sim := &watchedCard{Card: ca.SIMWith(keys)}
			d := sim.open(t)
			good := chains(t, ca, ca.Server())
			if err := d.CheckServer(t.Context(), good); err != nil {
				t.Fatal(err)
			}
			// A host that has been talked into believing a chain.
			forged := [][]*x509.Certificate{{chains(t, other, other.Server())[0][0], ca.Certificate}}
			err := d.CheckServer(t.Context(), forged)
			if !errors.Is(err, ErrServerCheck) || !errors.Is(err, apdu.SignatureMismatch) {
				t.Errorf("%v", err)
			}
			if err := d.CheckServer(t.Context(), append(forged, good...)); err != nil {
				t.Errorf("one good chain among others: %v", err)
			}
			for name, bad := range map[string][][]*x509.Certificate{"none": nil, "empty": {{}}, "a pinned certificate": {{ca.Certificate}}} {
				if err := d.CheckServer(t.Context(), bad); !errors.Is(err, ErrServerCheck) {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestACertificateThatNoSIMIsSureToVerifyIsNotSent(t *testing.T) {
	ca := fixture.NewCA(t)
	sim := &watchedCard{Card: ca.SIMWith(ca.HeldKey())}
	d := sim.open(t)
	if err := d.CanCheckServers(t.Context()); err != nil {
		t.Fatal(err)
	}
	sim.lap()
	for name, certificate := range map[string]*x509.Certificate{
		"RSA":          {SignatureAlgorithm: x509.SHA256WithRSA, Signature: make([]byte, 256)},
		"SHA-1":        {SignatureAlgorithm: x509.ECDSAWithSHA1, Signature: []byte{0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01}},
		"no signature": {SignatureAlgorithm: x509.ECDSAWithSHA256},
	} {
		err := d.CheckServer(t.Context(), [][]*x509.Certificate{{certificate, ca.Certificate}})
		if !errors.Is(err, ErrServerCheck) || name != "no signature" && !errors.Is(err, iotsafe.ErrScheme) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := sim.lap(); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
}

func TestTheSIMsOwnKeyVouchesForNobody(t *testing.T) {
	ca := fixture.NewCA(t)
	sim := &watchedCard{Card: ca.SIMWith(ca.HeldKey())}
	d := sim.open(t)
	signer, err := d.Signer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Whoever has the SIM sign can make a chain that ends in the SIM's own key.
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "false anchor"}, SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := anchor.CheckSignatureFrom(anchor); err != nil {
		t.Fatal(err)
	}
	if err := d.CheckServer(t.Context(), [][]*x509.Certificate{{anchor, anchor}}); !errors.Is(err, ErrServerCheck) || errors.Is(err, apdu.SignatureMismatch) {
		t.Errorf("%v", err)
	}
}

func TestASIMThatCannotCheckServersSaysSoBeforeAnythingIsSent(t *testing.T) {
	ca := fixture.NewCA(t)
	for missing, sim := range map[string]*vsim.Card{
		"no public key container": ca.GoodSIM(),
		"not on P-256":            simWithAnchorOnP384(t),
		"no trust anchor":         fixture.NewSIM(t, "keys:\n"+fixture.PeerContainer+"\n"),
	} {
		t.Run(missing, func(t *testing.T) {
			d := (&watchedCard{Card: sim}).open(t, WithServerCheck())
			err := d.CanCheckServers(t.Context())
			if !errors.Is(err, ErrServerCheck) || !strings.Contains(err.Error(), missing) {
				t.Errorf("%v", err)
			}
			if _, err := d.TLSConfig(t.Context()); err == nil {
				t.Error("a configuration was made all the same")
			}
		})
	}
}

func simWithAnchorOnP384(t *testing.T) *vsim.Card {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "root on P-384"}, SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return fixture.NewSIM(t, fmt.Sprintf("keys:\n%s\nfiles:\n- {id: \"03\", label: anchor, usage: certificate, capacity: 2048, hex: \"%x\"}\n", fixture.PeerContainer, der))
}

func TestASIMThatDoesNotAnswerIsNoPass(t *testing.T) {
	ca := fixture.NewCA(t)
	sim := &watchedCard{Card: ca.SIMWith(ca.HeldKey())}
	d := sim.open(t)
	good := chains(t, ca, ca.Server())
	if err := d.CanCheckServers(t.Context()); err != nil {
		t.Fatal(err)
	}
	sim.fail = errors.New("unplugged")
	if err := d.CheckServer(t.Context(), good); !errors.Is(err, ErrServerCheck) || !errors.Is(err, sim.fail) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sim.fail = nil
	if err := d.CheckServer(ctx, good); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
