package appserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// sealingKey is a key pair for one middleware.
func sealingKey(t testing.TB) (private, public []byte) {
	t.Helper()
	private, public, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	return private, public
}

// secretsReady waits until all secrets are here.
func secretsReady(t testing.TB, m *Middleware) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.SecretsReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// pskTransport is one way to speak with a PSK.
type pskTransport struct {
	name   string
	listen func(t testing.TB, m *Middleware) *Listener
	dial   func(ctx context.Context, address string, key *psktls.Config) (net.Conn, error)
}

func pskConfig(t testing.TB, m *Middleware) *psktls.Config {
	t.Helper()
	config, err := m.PSKConfig(&psktls.Config{AllowPSKOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func overTLS(version uint16) pskTransport {
	return pskTransport{
		name: fmt.Sprintf("TLS 1.%d", version-psktls.VersionTLS12+2),
		listen: func(t testing.TB, m *Middleware) *Listener {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ln := m.PSKListener(inner, pskConfig(t, m))
			t.Cleanup(func() { ln.Close() })
			return ln
		},
		dial: func(ctx context.Context, address string, key *psktls.Config) (net.Conn, error) {
			key.MinVersion, key.MaxVersion = version, version
			return psktls.Dial(ctx, "tcp", address, key)
		},
	}
}

var overDTLS = pskTransport{
	name: "DTLS 1.2",
	listen: func(t testing.TB, m *Middleware) *Listener {
		socket, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln, err := m.DTLSListener(socket, &dtls.Config{Config: *pskConfig(t, m)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		return ln
	},
	dial: func(ctx context.Context, address string, key *psktls.Config) (net.Conn, error) {
		return dtls.Dial(ctx, "udp", address, &dtls.Config{Config: *key})
	},
}

// eachPSKTransport runs a test over all of them.
func eachPSKTransport(t *testing.T, test func(t *testing.T, over pskTransport)) {
	for _, over := range []pskTransport{overTLS(psktls.VersionTLS12), overTLS(psktls.VersionTLS13), overDTLS} {
		t.Run(over.name, func(t *testing.T) { test(t, over) })
	}
}

// pskClient is a device's configuration.
func pskClient(k platformtest.PSK) *psktls.Config {
	return &psktls.Config{Identity: []byte(k.Identity), Key: psktls.SecretKey(k.Secret)}
}

// meet lets a device connect.
func (over pskTransport) meet(t testing.TB, ln *Listener, k platformtest.PSK) (*Conn, net.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	device, err := over.dial(ctx, ln.Addr().String(), pskClient(k))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { device.Close() })
	conn, err := ln.AcceptWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return conn.(*Conn), device
}

// openPSK opens a middleware with a sealing key.
func openPSK(t testing.TB, p *platformtest.Platform, o Options) (m *Middleware, public []byte) {
	t.Helper()
	o.SealingKey, public = sealingKey(t)
	return open(t, p, o), public
}

func TestASIMWithItsPSKIsLetInAndKnown(t *testing.T) {
	eachPSKTransport(t, func(t *testing.T, over pskTransport) {
		p := platformtest.New(t)
		m, public := openPSK(t, p, Options{})
		k := p.ProvisionPSK(t, platformtest.ICCID(1), public)
		inStep(t, m, p)
		secretsReady(t, m)
		conn, device := over.meet(t, over.listen(t, m), k)
		id, ok := IdentityOf(conn)
		if !ok || id.ICCID != platformtest.ICCID(1) || id.Fleet != "meters" || id.Credential != k.Credential || id.Type != api.PSKType {
			t.Errorf("identity %+v, %v", id, ok)
		}
		if _, err := device.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		if n, err := conn.Read(got); err != nil || string(got[:n]) != "hello" {
			t.Errorf("%q, %v", got[:n], err)
		}
	})
}

func TestLivePSKConnectionsEndWithTheirCredentialOrSIMAndThePeerIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *platformtest.Platform, k platformtest.PSK)
		want   error
	}{
		"revoked":    {func(p *platformtest.Platform, k platformtest.PSK) { p.SetCredential(k.Credential, api.Revoked) }, ErrRevoked},
		"suspended":  {func(p *platformtest.Platform, _ platformtest.PSK) { p.SetSIM(platformtest.ICCID(1), api.Suspended) }, ErrSuspended},
		"terminated": {func(p *platformtest.Platform, _ platformtest.PSK) { p.SetSIM(platformtest.ICCID(1), api.Terminated) }, ErrTerminated},
	} {
		t.Run(name, func(t *testing.T) {
			eachPSKTransport(t, func(t *testing.T, over pskTransport) {
				p := platformtest.New(t)
				m, public := openPSK(t, p, Options{})
				k, other := p.ProvisionPSK(t, platformtest.ICCID(1), public), p.ProvisionPSK(t, platformtest.ICCID(2), public)
				inStep(t, m, p)
				secretsReady(t, m)
				ln := over.listen(t, m)
				conn, device := over.meet(t, ln, k)
				stays, _ := over.meet(t, ln, other)
				c.change(p, k)
				device.SetReadDeadline(time.Now().Add(patience))
				if _, err := device.Read(make([]byte, 1)); err != io.EOF { // which close_notify makes
					t.Errorf("the device sees %v instead of close_notify", err)
				}
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, c.want) {
					t.Errorf("the server's read: got %v, want %v", err, c.want)
				}
				if stays.Cause() != nil {
					t.Errorf("another SIM was cut off: %v", stays.Cause())
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if again, err := over.dial(ctx, ln.Addr().String(), pskClient(k)); err == nil {
					again.Close()
					t.Error("it was let in again")
				}
			})
		})
	}
}

func TestBothPSKsAreGoodWhileOneTakesOverFromTheOther(t *testing.T) {
	eachPSKTransport(t, func(t *testing.T, over pskTransport) {
		p := platformtest.New(t)
		m, public := openPSK(t, p, Options{})
		old := p.ProvisionPSK(t, platformtest.ICCID(1), public)
		fresh := p.ProvisionPSK(t, platformtest.ICCID(1), public)
		p.SetCredential(fresh.Credential, api.Delivered)
		inStep(t, m, p)
		secretsReady(t, m)
		ln := over.listen(t, m)
		before, _ := over.meet(t, ln, old)
		over.meet(t, ln, fresh)
		p.SetCredential(fresh.Credential, api.Active)
		p.SetCredential(old.Credential, api.Superseded)
		inStep(t, m, p)
		over.meet(t, ln, fresh)
		if before.Cause() != nil {
			t.Errorf("the old connection was cut off: %v", before.Cause())
		}
		if _, err := m.Lookup(PSKFingerprint([]byte(old.Identity))); !errors.Is(err, ErrSuperseded) {
			t.Errorf("a new connection with the old PSK: %v", err)
		}
		if m.secrets.vault.has(old.Credential) {
			t.Error("the old secret is still kept")
		}
	})
}

// wire is a connection that notes what one side sends, as types and lengths of TLS records.
type wire struct {
	net.Conn
	mu   sync.Mutex
	sent bytes.Buffer
}

func (w *wire) Write(b []byte) (int, error) {
	w.mu.Lock()
	w.sent.Write(b)
	w.mu.Unlock()
	return w.Conn.Write(b)
}

func (w *wire) records(t *testing.T) (records []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for b := w.sent.Bytes(); len(b) >= 5; {
		n := int(b[3])<<8 | int(b[4])
		r := fmt.Sprintf("%d/%d", b[0], n)
		if b[0] == 21 && n == 2 { // an alert in the clear
			r += fmt.Sprintf("/%d", b[6])
		}
		records, b = append(records, r), b[5+n:]
	}
	if len(records) == 0 {
		t.Error("the server sent nothing")
	}
	return records
}

// What somebody without a key sees tells nothing about the identity that they tried.
func TestUnknownRevokedSuspendedDeniedAndWrongLookAlike(t *testing.T) {
	p := platformtest.New(t)
	denied := platformtest.ICCID(4)
	m, public := openPSK(t, p, Options{Policy: func(id Identity) error {
		if id.ICCID == denied {
			return errClosingTime
		}
		return nil
	}})
	wrong := p.ProvisionPSK(t, platformtest.ICCID(1), public)
	wrong.Secret[0] ^= 1
	revoked := p.ProvisionPSK(t, platformtest.ICCID(2), public)
	p.SetCredential(revoked.Credential, api.Revoked)
	suspended := p.ProvisionPSK(t, platformtest.ICCID(3), public)
	p.SetSIM(platformtest.ICCID(3), api.Suspended)
	byPolicy := p.ProvisionPSK(t, denied, public)
	unknown := wrong
	unknown.Identity = strings.Repeat("x", len(wrong.Identity))
	inStep(t, m, p)
	secretsReady(t, m)
	config := pskConfig(t, m)
	for _, version := range []uint16{psktls.VersionTLS12, psktls.VersionTLS13} {
		var first []string
		var firstErr error
		for _, c := range []struct {
			name   string
			key    platformtest.PSK
			reason error
		}{
			{"wrong", wrong, nil},
			{"unknown", unknown, ErrUnknown},
			{"revoked", revoked, ErrRevoked},
			{"suspended", suspended, ErrSuspended},
			{"denied", byPolicy, ErrDenied},
		} {
			there, here := pair(t)
			w := &wire{Conn: there}
			client := pskClient(c.key)
			client.MinVersion, client.MaxVersion = version, version
			seen := make(chan error, 1)
			go func() {
				device := psktls.Client(here, client)
				err := device.Handshake()
				if err == nil {
					_, err = device.Read(make([]byte, 1))
				}
				seen <- err
			}()
			_, err := m.AdmitPSK(t.Context(), psktls.Server(w, config))
			if err == nil {
				t.Fatalf("%x, %s: was let in", version, c.name)
			}
			if c.reason != nil && (!errors.Is(err, c.reason) || !errors.Is(err, psktls.ErrUnknownIdentity)) || c.reason == nil && errors.Is(err, psktls.ErrUnknownIdentity) {
				t.Errorf("%x, %s: the server's own error is %v", version, c.name, err)
			}
			clientErr, records := <-seen, w.records(t)
			if first == nil {
				first, firstErr = records, clientErr
			}
			if !slices.Equal(records, first) || clientErr.Error() != firstErr.Error() {
				t.Errorf("%x, %s: the client sees %v and %v, with a wrong key %v and %v", version, c.name, records, clientErr, first, firstErr)
			}
		}
	}
}

func TestSecretsLieSealedOnDiskAndServeWithoutThePlatform(t *testing.T) {
	p := platformtest.New(t)
	private, public := sealingKey(t)
	dir := t.TempDir()
	m := open(t, p, Options{SealingKey: private, Dir: dir})
	k := p.ProvisionPSK(t, platformtest.ICCID(1), public)
	inStep(t, m, p)
	secretsReady(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, k.Secret) || bytes.Contains(content, private) {
			t.Errorf("%s holds a secret in the clear", file)
		}
	}
	p.Offline(true)
	m = openUnready(t, p, Options{SealingKey: private, Dir: dir})
	over := overTLS(psktls.VersionTLS13)
	over.meet(t, over.listen(t, m), k)
}

func TestADamagedSecretIsFetchedAgain(t *testing.T) {
	for name, damage := range map[string]func(content []byte) []byte{
		"a flipped bit":     func(c []byte) []byte { c[len(c)-1] ^= 1; return c },
		"cut off":           func(c []byte) []byte { return c[:len(c)-1] },
		"a damaged decoy":   func(c []byte) []byte { c[20] ^= 1; return c },
		"nothing left":      func([]byte) []byte { return nil },
		"something foreign": func([]byte) []byte { return bytes.Repeat([]byte("?"), 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			p := platformtest.New(t)
			private, public := sealingKey(t)
			dir := t.TempDir()
			m := open(t, p, Options{SealingKey: private, Dir: dir})
			k := p.ProvisionPSK(t, platformtest.ICCID(1), public)
			inStep(t, m, p)
			secretsReady(t, m)
			m.Close()
			file := filepath.Join(dir, "secrets")
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage(content), 0o600); err != nil {
				t.Fatal(err)
			}
			m = open(t, p, Options{SealingKey: private, Dir: dir})
			secretsReady(t, m)
			over := overTLS(psktls.VersionTLS12)
			over.meet(t, over.listen(t, m), k)
		})
	}
}

func TestASecretThatIsDamagedUnderARunningServerIsFetchedAgain(t *testing.T) {
	p := platformtest.New(t)
	dir := t.TempDir()
	m, public := openPSK(t, p, Options{Dir: dir})
	k := p.ProvisionPSK(t, platformtest.ICCID(1), public)
	inStep(t, m, p)
	secretsReady(t, m)
	file, err := os.OpenFile(filepath.Join(dir, "secrets"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("?"), m.secrets.vault.size-1); err != nil {
		t.Fatal(err)
	}
	over := overTLS(psktls.VersionTLS13)
	ln := over.listen(t, m)
	if _, err := over.dial(t.Context(), ln.Addr().String(), pskClient(k)); err == nil {
		t.Error("a damaged secret was good")
	}
	secretsReady(t, m)
	over.meet(t, ln, k)
}

func TestAnotherSealingKeyHasTheSecretsFetchedAnew(t *testing.T) {
	p := platformtest.New(t)
	dir := t.TempDir()
	m, public := openPSK(t, p, Options{Dir: dir})
	p.ProvisionPSK(t, platformtest.ICCID(1), public)
	inStep(t, m, p)
	secretsReady(t, m)
	m.Close()
	m, public = openPSK(t, p, Options{Dir: dir})
	k := p.ProvisionPSK(t, platformtest.ICCID(2), public)
	inStep(t, m, p)
	over := overTLS(psktls.VersionTLS13)
	realWait(t, func() bool { return m.secrets.vault.has(k.Credential) }, m)
	over.meet(t, over.listen(t, m), k)
}

// realWait waits for what no change of the replica tells.
func realWait(t *testing.T, done func() bool, m *Middleware) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain: %+v", m.Synced())
		}
	}
}

func TestASecretThatComesLateIsRefusedUntilThen(t *testing.T) {
	p := platformtest.New(t)
	m, public := openPSK(t, p, Options{})
	p.Withhold(true)
	k := p.ProvisionPSK(t, platformtest.ICCID(1), public)
	inStep(t, m, p)
	if missing := m.Synced().Secrets; missing != 1 {
		t.Errorf("%d secrets are missing", missing)
	}
	if _, refusal, err := m.RevealPSK([]byte(k.Identity)); err != nil || !errors.Is(refusal, ErrSecretMissing) {
		t.Errorf("%v, %v", refusal, err)
	}
	over := overTLS(psktls.VersionTLS13)
	ln := over.listen(t, m)
	if _, err := over.dial(t.Context(), ln.Addr().String(), pskClient(k)); err == nil {
		t.Error("was let in without its secret")
	}
	p.Withhold(false)
	secretsReady(t, m)
	over.meet(t, ln, k)
}

func TestRevealedSecretsAreRightOrNobodys(t *testing.T) {
	p := platformtest.New(t)
	m, public := openPSK(t, p, Options{})
	k := p.ProvisionPSK(t, platformtest.ICCID(1), public)
	inStep(t, m, p)
	secretsReady(t, m)
	if secret, refusal, err := m.RevealPSK([]byte(k.Identity)); err != nil || refusal != nil || !bytes.Equal(secret, k.Secret) {
		t.Errorf("%v, %v", refusal, err)
	}
	p.SetCredential(k.Credential, api.Revoked)
	inStep(t, m, p)
	for identity, want := range map[string]error{k.Identity: ErrRevoked, "nobody": ErrUnknown, "": ErrUnknown} {
		secret, refusal, err := m.RevealPSK([]byte(identity))
		if err != nil || !errors.Is(refusal, want) || len(secret) != len(k.Secret) || bytes.Equal(secret, k.Secret) {
			t.Errorf("%s: %v, %v, %d bytes", identity, refusal, err, len(secret))
		}
	}
}

func TestNothingIsDoneWithPSKsWithoutASealingKey(t *testing.T) {
	p := platformtest.New(t)
	m := open(t, p, Options{})
	if _, err := m.PSKConfig(nil); !errors.Is(err, ErrNoSealingKey) {
		t.Error(err)
	}
	if err := m.SecretsReady(t.Context()); !errors.Is(err, ErrNoSealingKey) {
		t.Error(err)
	}
	if _, _, err := m.RevealPSK(nil); !errors.Is(err, ErrNoSealingKey) {
		t.Error(err)
	}
}
