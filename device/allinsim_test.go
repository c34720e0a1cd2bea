package device

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/psktls"
)

// inSIMDevice is a device on a SIM that does everything.
func inSIMDevice(t *testing.T, ca *fixture.CA, opts ...Option) (*watchedCard, *Device) {
	t.Helper()
	c := &watchedCard{Card: ca.SIMWith(fixture.WholeExchange)}
	return c, c.open(t, opts...)
}

// visitInSIM does a handshake with all of it in the SIM and returns what the server saw.
func visitInSIM(ctx context.Context, d *Device, address string) (serial string, err error) {
	c, err := d.DialAllInSIM(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

func TestAllInTheSIMOpensTLS13InEightCommands(t *testing.T) {
	ca := fixture.NewCA(t)
	c, d := inSIMDevice(t, ca)
	server := serveTLS(t, ca.ServerConfig())
	credential, err := d.Credential(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, warm := range []bool{false, true} {
		c.lap()
		serial, err := visitInSIM(t.Context(), d, server)
		if err != nil || serial != credential.Certificate.SerialNumber.String() {
			t.Fatalf("the server sees %q, %v", serial, err)
		}
		for name, ins := range map[string]byte{"PUT PUBLIC KEY INIT": 0x24, "PUT PUBLIC KEY UPDATE": 0xD8, "COMPUTE DH": 0x46,
			"COMPUTE HKDF": 0x4A, "COMPUTE SIGNATURE INIT": 0x2A, "COMPUTE SIGNATURE UPDATE": 0x2B} {
			if n := c.sent(ins); n != 1 {
				t.Errorf("%s: %d times", name, n)
			}
		}
		if n := c.sent(0xB9); n != 2 { // one to use, one to overwrite it
			t.Errorf("GENERATE KEY PAIR: %d times", n)
		}
		if n := c.lap(); warm && n != 8 {
			t.Errorf("%d commands", n)
		}
	}
}

func TestAConfigForAllInTheSIMServesManyConnectionsAtATime(t *testing.T) {
	ca := fixture.NewCA(t)
	_, d := inSIMDevice(t, ca)
	server := serveTLS(t, ca.ServerConfig())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := visitInSIM(t.Context(), d, server); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestAllInTheSIMSaysWhatASIMLacks(t *testing.T) {
	ca := fixture.NewCA(t)
	for name, c := range map[string]struct{ keys, says string }{
		"no pair":    {fixture.ExchangePeer, "no pair of volatile"},
		"no peer":    {fixture.EphemeralPair, "no P-256 public key container"},
		"nothing":    {"", "signatures; no P-256 public key container"},
		"other peer": {fixture.EphemeralPair + "\n" + fixture.PeerContainer, "no P-256 public key container"},
		"a pair that signs": {`- {private: "04", public: "04", label: e, type: p256-volatile, functions: [sign, generate, agree], signatures: [ecdsa], hashes: [sha256], agreement: [ecka]}` +
			"\n" + fixture.ExchangePeer, "not for signatures"},
		"a pair that lasts": {`- {private: "04", public: "04", label: e, type: p256, functions: [generate, agree], agreement: [ecka]}` +
			"\n" + fixture.ExchangePeer, "no pair of volatile"},
		"a pair that is not generated": {`- {private: "04", public: "04", label: e, type: p256-volatile, functions: [agree], agreement: [ecka]}` +
			"\n" + fixture.ExchangePeer, "no pair of volatile"},
		"a peer that is not updated": {fixture.EphemeralPair + "\n" +
			`- {public: "07", label: server, type: p256-volatile, functions: [agree], agreement: [ecka], access: [read]}`, "may update"},
	} {
		card := &watchedCard{Card: ca.SIMWith(c.keys)}
		d := card.open(t)
		_, err := d.DialAllInSIM(t.Context(), "tcp", "127.0.0.1:1")
		if !errors.Is(err, ErrNotAllInSIM) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %q", name, err, c.says)
		}
		if card.sent(0xB9) > 0 {
			t.Errorf("%s: a key was generated", name)
		}
	}
	card := &watchedCard{Card: fixture.EmptySIM(t, "common")}
	if _, err := card.open(t).AllInSIMConfig(t.Context(), "server.example"); !errors.Is(err, ErrNoCredential) {
		t.Errorf("without a credential: %v", err)
	}
	_, d := inSIMDevice(t, ca)
	if _, err := d.AllInSIMConfig(t.Context(), ""); !errors.Is(err, ErrNoHost) {
		t.Errorf("without a server's name: %v", err)
	}
}

func TestAllInTheSIMHoldsTheServerToItsNameAndItsCA(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	_, d := inSIMDevice(t, ca)
	elsewhere, stranger := ca.ServerConfig(), ca.ServerConfig()
	elsewhere.Certificates = []tls.Certificate{ca.Server("elsewhere.example")}
	stranger.Certificates = []tls.Certificate{other.Server()}
	var wrongName x509.HostnameError
	if _, err := visitInSIM(t.Context(), d, serveTLS(t, elsewhere)); !errors.As(err, &wrongName) {
		t.Errorf("another name: %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := visitInSIM(t.Context(), d, serveTLS(t, stranger)); !errors.As(err, &unknown) {
		t.Errorf("another CA: %v", err)
	}
	if _, err := visitInSIM(t.Context(), d, serveTLS(t, ca.ServerConfig())); err != nil {
		t.Errorf("after both: %v", err)
	}
}

func TestTheSIMChecksTheServerInAllInTheSIMToo(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	keys := fixture.WholeExchange + "\n" + fixture.PeerContainer
	good := (&watchedCard{Card: ca.SIMWith(keys)}).open(t, WithServerCheck())
	if _, err := visitInSIM(t.Context(), good, serveTLS(t, ca.ServerConfig())); err != nil {
		t.Error(err)
	}
	stranger := ca.ServerConfig()
	stranger.Certificates = []tls.Certificate{other.Server()}
	misled := (&watchedCard{Card: ca.SIMWith(keys)}).open(t, WithServerCheck(), WithRoots(other.Pool()))
	if _, err := visitInSIM(t.Context(), misled, serveTLS(t, stranger)); !errors.Is(err, ErrServerCheck) {
		t.Errorf("a host that trusts another CA: %v", err)
	}
}

// silent is a server that never answers.
func silent(t *testing.T) (address string, accepted <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	conns := make(chan net.Conn, 1)
	go func() {
		if c, err := l.Accept(); err == nil {
			io.ReadFull(c, make([]byte, 1)) //nolint:errcheck // the ClientHello has begun, if not the client tells
			conns <- c
		}
	}()
	return l.Addr().String(), conns
}

func TestAnAbandonedHandshakeLeavesTheSIMFreeAndTheKeyOverwritten(t *testing.T) {
	ca := fixture.NewCA(t)
	c, d := inSIMDevice(t, ca)
	address, accepted := silent(t)
	ctx, abandon := context.WithCancelCause(t.Context())
	reason := errors.New("the user has gone")
	ended := make(chan error, 1)
	go func() {
		_, err := visitInSIM(ctx, d, address)
		ended <- err
	}()
	defer (<-accepted).Close()

	// Whoever comes now waits, and is told for what.
	waiting, giveUp := context.WithCancel(t.Context())
	giveUp()
	if _, err := (inSIM{d}).Ephemeral(waiting, tls.CurveP256); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "another handshake") {
		t.Errorf("while the SIM is busy: %v", err)
	}
	used, err := d.applet.PublicKey(t.Context(), "\x04")
	if err != nil {
		t.Fatal(err)
	}
	abandon(reason)
	if err := <-ended; !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	now, err := d.applet.PublicKey(t.Context(), "\x04")
	if err != nil || now.Equal(used) || c.sent(0xB9) != 2 {
		t.Errorf("the key is still there (%v)", err)
	}
	if _, err := visitInSIM(t.Context(), d, serveTLS(t, ca.ServerConfig())); err != nil {
		t.Error(err)
	}
}

func TestASIMThatGoesAwayEndsTheHandshakeAndServesAgainWhenItIsBack(t *testing.T) {
	ca := fixture.NewCA(t)
	c, d := inSIMDevice(t, ca)
	gone := errors.New("no card in the reader")
	fail := func(err error) {
		c.mu.Lock()
		c.fail = err
		c.mu.Unlock()
	}
	config, err := d.AllInSIMConfig(t.Context(), "localhost")
	if err != nil {
		t.Fatal(err)
	}
	key, err := config.KeyExchange.Ephemeral(t.Context(), tls.CurveP256)
	if err != nil {
		t.Fatal(err)
	}
	fail(gone)
	if _, err := key.HandshakeSecret(t.Context(), crypto.SHA256, make([]byte, 32), key.Public()); !errors.Is(err, gone) {
		t.Errorf("deriving: %v", err)
	}
	if err := key.Close(); !errors.Is(err, gone) || !strings.Contains(err.Error(), "could not be overwritten") {
		t.Errorf("overwriting: %v", err)
	}
	if _, err := visitInSIM(t.Context(), d, serveTLS(t, ca.ServerConfig())); !errors.Is(err, gone) {
		t.Errorf("connecting: %v", err)
	}
	fail(nil)
	if _, err := visitInSIM(t.Context(), d, serveTLS(t, ca.ServerConfig())); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestTheSIMDerivesTheHandshakeSecretThatTheServerDoes(t *testing.T) {
	_, d := inSIMDevice(t, fixture.NewCA(t))
	key, err := inSIM{d}.Ephemeral(t.Context(), tls.CurveP256)
	if err != nil {
		t.Fatal(err)
	}
	defer key.Close() //nolint:errcheck // not what is tested
	ours, err := ecdh.P256().NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	salt := bytes.Repeat([]byte{7}, 32)
	for zeros := 0; zeros < 2; { // until there was a shared secret that begins with a zero, and one that does not
		server, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		shared, err := server.ECDH(ours)
		if err != nil {
			t.Fatal(err)
		}
		if (shared[0] == 0) != (zeros == 1) {
			continue
		}
		zeros++
		want, err := hkdf.Extract(crypto.SHA256.New, shared, salt)
		if err != nil {
			t.Fatal(err)
		}
		got, err := key.HandshakeSecret(t.Context(), crypto.SHA256, salt, server.PublicKey().Bytes())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("shared secret %x…: %v", shared[0], err)
		}
	}
	if _, err := key.HandshakeSecret(t.Context(), crypto.SHA384, salt, key.Public()); err == nil || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("with SHA-384: %v", err)
	}
	if _, err := (inSIM{d}).Ephemeral(t.Context(), tls.X25519); err == nil || !strings.Contains(err.Error(), "secp256r1") {
		t.Errorf("with X25519: %v", err)
	}
}

func TestAServerOfAnotherGroupIsTold(t *testing.T) {
	ca := fixture.NewCA(t)
	_, d := inSIMDevice(t, ca)
	config := ca.ServerConfig()
	config.CurvePreferences = []tls.CurveID{tls.X25519}
	_, err := visitInSIM(t.Context(), d, serveTLS(t, config))
	var alert *psktls.AlertError
	if !errors.As(err, &alert) || !alert.Remote || alert.Alert != psktls.AlertHandshakeFailure || !strings.Contains(err.Error(), "groups") {
		t.Errorf("%v", err)
	}
}

func TestTheCommonProfileCanDoAllInTheSIM(t *testing.T) {
	for profile, can := range map[string]bool{"common": true, "wolfssl": true, "wolfssl2": true, "m33mu": true,
		"cira": false, "orange-test": false, "orange-cloud": false, "zariot": false, "type2": false} {
		d := (&watchedCard{Card: fixture.EmptySIM(t, profile)}).open(t)
		_, err := d.exchange(t.Context())
		if can && err != nil || !can && !errors.Is(err, ErrNotAllInSIM) {
			t.Errorf("%s: %v", profile, err)
		}
	}
	if canBeEphemeral(iotsafe.Object{}) {
		t.Error("nothing is enough")
	}
}
