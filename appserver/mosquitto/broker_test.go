package mosquitto_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/beside"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/mosquitto"
)

// patience is how long a test waits for what must come.
const patience = 15 * time.Second

// rig is a platform, a middleware, an adapter and a real broker.
type rig struct {
	*platformtest.Platform
	m      *appserver.Middleware
	adapt  func() *beside.Keeper // makes another adapter for the broker
	dir    string
	listen string // for certificates
	psk    string // for PSKs
	sealTo []byte // the middleware's public key
	binary string // the broker's program and configuration
	config string
	broker *exec.Cmd
	roots  *x509.CertPool
}

// newRig starts all but an adapter; what it starts ends with the test.
func newRig(t *testing.T, changes ...func(*appserver.Options)) *rig {
	t.Helper()
	binary := broker(t)
	// A socket's name is short, and the name of a test's own directory is not.
	dir, err := os.MkdirTemp("", "mosq")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := platformtest.New(t)
	r := &rig{Platform: p, dir: dir, listen: freeAddress(t), psk: freeAddress(t), roots: p.CA.Roots}
	quiet := slog.New(slog.DiscardHandler)
	private, public, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	r.sealTo = public
	options := appserver.Options{Platform: p.Client, Dir: t.TempDir(), SealingKey: private, Logger: quiet}
	for _, change := range changes {
		change(&options)
	}
	if r.m, err = appserver.Open(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.m.Close() })
	pidFile := filepath.Join(dir, "broker.pid")
	r.adapt = func() *beside.Keeper {
		a, err := mosquitto.New(mosquitto.Options{
			Middleware: r.m, Platform: p.Client, Dir: dir, PSK: true, PID: mosquitto.PIDFile(pidFile), Logger: quiet,
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	adapter := r.adapt()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := adapter.Prepare(ctx); err != nil {
		t.Fatal(err)
	}

	certificate, key := writePair(t, dir, p.CA.Server(t, "broker.example"))
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	config, err := mosquitto.Config(mosquitto.ConfigOptions{
		Dir: dir, Listen: r.listen, PSKListen: r.psk, Certificate: certificate, Key: key, PIDFile: pidFile, User: me.Username,
	})
	if err != nil {
		t.Fatal(err)
	}
	configFile := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.binary, r.config = binary, configFile
	r.start(t)
	return r
}

// start starts the broker.
func (r *rig) start(t *testing.T) {
	t.Helper()
	var log bytes.Buffer
	broker := exec.Command(r.binary, "-v", "-c", r.config)
	broker.Stdout, broker.Stderr = &log, &log
	if err := broker.Start(); err != nil {
		t.Fatal(err)
	}
	r.broker = broker
	t.Cleanup(func() {
		broker.Process.Kill()
		broker.Wait()
		if t.Failed() {
			t.Logf("the broker's log:\n%s", log.Bytes())
		}
	})
	r.awaitBroker(t)
}

// run runs an adapter until it is stopped, at the latest at the end of the test.
func (r *rig) run(t *testing.T) (stop func()) {
	t.Helper()
	adapter := r.adapt()
	done := make(chan error, 1)
	running, cancel := context.WithCancel(t.Context())
	go func() { done <- adapter.Run(running) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// broker finds the broker. A test that skipped would prove nothing.
func broker(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("this test needs the broker: apt-get install mosquitto")
	return ""
}

// freeAddress is an address that nobody listens on. The broker cannot tell which port it
// took, so it cannot choose itself.
func freeAddress(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// writePair writes a certificate chain and its key.
func writePair(t *testing.T, dir string, c tls.Certificate) (certificate, key string) {
	t.Helper()
	certificate, key = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	var chain bytes.Buffer
	for _, der := range c.Certificate {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	der, err := x509.MarshalECPrivateKey(c.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(certificate, chain.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return certificate, key
}

// awaitBroker waits until all listeners answer.
func (r *rig) awaitBroker(t *testing.T) {
	t.Helper()
	for _, at := range [][2]string{{"unix", filepath.Join(r.dir, "control.sock")}, {"tcp", r.listen}, {"tcp", r.psk}} {
		eventually(t, "the broker listens on "+at[1], func() error {
			conn, err := net.Dial(at[0], at[1])
			if err == nil {
				conn.Close()
			}
			return err
		})
	}
}

// eventually tries until it succeeds. Another process gives no channel to wait on.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}

// device is a connected device.
type device struct {
	mqtt.Client
	lost     chan error
	received chan string
}

// connect connects a device to the broker, which must let it in or not.
func (r *rig) connect(sim platformtest.SIM, o func(*tls.Config, *mqtt.ClientOptions)) (*device, error) {
	d := &device{lost: make(chan error, 1), received: make(chan string, 64)}
	config := &tls.Config{RootCAs: r.roots, ServerName: "broker.example", Certificates: []tls.Certificate{sim.Certificate}}
	options := mqtt.NewClientOptions().
		AddBroker("ssl://" + r.listen).SetTLSConfig(config).
		SetClientID("anything").SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectTimeout(patience).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { d.lost <- err }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { d.received <- string(m.Payload()) })
	if o != nil {
		o(config, options)
	}
	d.Client = mqtt.NewClient(options)
	return d, finish(d.Connect())
}

func finish(token mqtt.Token) error {
	if !token.WaitTimeout(patience) {
		return errors.New("the broker does not answer")
	}
	return token.Error()
}

// hears tells whether what one device publishes arrives at another one.
func hears(from, to *device, text string) error {
	if err := finish(from.Publish("t/x", 1, false, text)); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	late := time.After(patience)
	for {
		select {
		case got := <-to.received:
			if got == text {
				return nil
			}
		case <-late:
			return fmt.Errorf("%q did not arrive", text)
		}
	}
}

func subscribed(t *testing.T, d *device) {
	t.Helper()
	if err := finish(d.Subscribe("t/#", 1, nil)); err != nil {
		t.Fatal(err)
	}
}

// ended waits until a device has lost its session, which must be within a second.
func (d *device) ended(t *testing.T) {
	t.Helper()
	begin := time.Now()
	select {
	case <-d.lost:
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the session ended after %s, want at most one second", took)
		} else {
			t.Logf("the session ended after %s", took)
		}
	case <-time.After(patience):
		t.Fatal("the session goes on")
	}
}

func TestARevokedDeviceLosesItsSessionAndIsRefused(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newRig(t)
			r.run(t)
			sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
			only := func(c *tls.Config, _ *mqtt.ClientOptions) { c.MinVersion, c.MaxVersion = version, version }
			first, err := r.connect(sim, only)
			if err != nil {
				t.Fatal(err)
			}
			second, err := r.connect(other, only)
			if err != nil {
				t.Fatal(err)
			}
			subscribed(t, second)
			if err := hears(first, second, "before"); err != nil {
				t.Fatal(err)
			}

			r.SetCredential(sim.Credential, api.Revoked)
			first.ended(t)
			if again, err := r.connect(sim, only); err == nil {
				again.Disconnect(0)
				t.Error("the revoked device was let in again")
			}
			if err := hears(second, second, "after"); err != nil {
				t.Errorf("the other device: %v", err)
			}
			select {
			case err := <-second.lost:
				t.Errorf("the other device lost its session: %v", err)
			default:
			}
			second.Disconnect(0)
		})
	}
}

// OpenSSL would not look at the CRL for a resumed session; but the broker forgets its
// ticket keys when it reads the files again.
func TestASessionTicketOfARevokedDeviceIsWorthless(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newRig(t)
			r.run(t)
			sim := r.Provision(t, platformtest.ICCID(1))
			cache, resumed := tls.NewLRUClientSessionCache(4), false
			resuming := func(c *tls.Config, _ *mqtt.ClientOptions) {
				c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, cache
				c.VerifyConnection = func(s tls.ConnectionState) error { resumed = s.DidResume; return nil }
			}
			var d *device
			// Not at once: the adapter makes the broker read its files at its start.
			eventually(t, "the broker resumes a session", func() (err error) {
				if d != nil {
					d.Disconnect(0)
				}
				if d, err = r.connect(sim, resuming); err == nil && !resumed {
					err = errors.New("a full handshake")
				}
				return err
			})
			r.SetCredential(sim.Credential, api.Revoked)
			d.ended(t)
			if _, err := r.connect(sim, resuming); err == nil {
				t.Error("the revoked device was let in again")
			}
		})
	}
}

func TestADeviceThatWaitedAfterItsHandshakeIsMute(t *testing.T) {
	r := newRig(t)
	r.run(t)
	sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	listener, err := r.connect(other, nil)
	if err != nil {
		t.Fatal(err)
	}
	subscribed(t, listener)
	d, err := r.connect(sim, nil)
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := tls.Dial("tcp", r.listen, &tls.Config{
		RootCAs: r.roots, ServerName: "broker.example", Certificates: []tls.Certificate{sim.Certificate},
		MaxVersion: tls.VersionTLS12, // in which the broker has accepted when the handshake ends
	})
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	r.SetCredential(sim.Credential, api.Revoked)
	d.ended(t)
	d, err = r.connect(sim, func(_ *tls.Config, o *mqtt.ClientOptions) {
		o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return waiting, nil })
	})
	if err != nil {
		return // even better
	}
	d.Publish("t/x", 1, false, "forbidden").WaitTimeout(patience)
	if err := finish(listener.Publish("t/x", 1, false, "mark")); err != nil {
		t.Fatal(err)
	}
	if got := <-listener.received; got != "mark" {
		t.Errorf("heard %q", got)
	}
	listener.Disconnect(0)
	d.Disconnect(0)
}

func TestASuspendedSIMIsMuteUntilItIsResumed(t *testing.T) {
	r := newRig(t)
	r.run(t)
	sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	listener, err := r.connect(other, nil)
	if err != nil {
		t.Fatal(err)
	}
	subscribed(t, listener)
	d, err := r.connect(sim, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetSIM(sim.ICCID, api.Suspended)
	d.ended(t)
	if d, err := r.connect(sim, nil); err == nil {
		d.Publish("t/x", 1, false, "forbidden").WaitTimeout(patience)
		if err := hears(listener, listener, "allowed"); err != nil {
			t.Fatal(err)
		}
		d.Disconnect(0)
	}
	r.SetSIM(sim.ICCID, api.Provisioned)
	n := 0
	eventually(t, "the resumed SIM is heard", func() error {
		n++
		d, err := r.connect(sim, nil)
		if err != nil {
			return err
		}
		defer d.Disconnect(0)
		text := fmt.Sprintf("again %d", n)
		d.Publish("t/x", 1, false, text).WaitTimeout(patience)
		if err := finish(listener.Publish("t/x", 1, false, "mark")); err != nil {
			return err
		}
		for got := range listener.received {
			switch got {
			case text:
				return nil
			case "mark":
				return errors.New("not yet")
			case "forbidden":
				t.Error("the suspended SIM was heard")
			}
		}
		return nil
	})
	listener.Disconnect(0)
}

func TestADeviceWithItsNewCredentialComesBackAfterTheOldIsRevoked(t *testing.T) {
	r := newRig(t)
	r.run(t)
	old := r.Provision(t, platformtest.ICCID(1))
	d, err := r.connect(old, nil)
	if err != nil {
		t.Fatal(err)
	}
	renewed := r.Provision(t, old.ICCID)
	r.SetCredential(old.Credential, api.Revoked)
	d.ended(t)
	if _, err := r.connect(old, nil); err == nil {
		t.Error("the old credential was let in")
	}
	d, err = r.connect(renewed, nil)
	if err != nil {
		t.Fatal(err)
	}
	subscribed(t, d)
	if err := hears(d, d, "hello"); err != nil {
		t.Error(err)
	}
	d.Disconnect(0)
}

// Nobody becomes another client by asking for its identifier.
func TestADeviceCannotTakeTheNameOfAnother(t *testing.T) {
	r := newRig(t)
	r.run(t)
	one, two := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	first, err := r.connect(one, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.connect(two, func(_ *tls.Config, o *mqtt.ClientOptions) { o.SetClientID(one.ICCID).SetUsername(one.ICCID) })
	if err != nil {
		t.Fatal(err)
	}
	subscribed(t, first)
	if err := hears(second, first, "hello"); err != nil {
		t.Error(err)
	}
	first.Disconnect(0)
	second.Disconnect(0)
}

func TestRevocationsInQuickSuccessionAllWork(t *testing.T) {
	r := newRig(t)
	r.run(t)
	for i := range 3 {
		sim := r.Provision(t, platformtest.ICCID(i))
		d, err := r.connect(sim, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetCredential(sim.Credential, api.Revoked)
		d.ended(t)
		if _, err := r.connect(sim, nil); err == nil {
			t.Errorf("%s was let in again", sim.ICCID)
		}
	}
}

func TestWhatWasRevokedWhileTheAdapterDidNotRunIsEndedAtItsStart(t *testing.T) {
	r := newRig(t)
	stop := r.run(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	d, err := r.connect(sim, nil)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	r.SetCredential(sim.Credential, api.Revoked)
	eventually(t, "the middleware knows", func() error {
		if _, err := r.m.Lookup(sim.Fingerprint); err == nil {
			return errors.New("not yet")
		}
		return nil
	})
	select {
	case err := <-d.lost:
		t.Fatalf("the session ended without the adapter: %v", err)
	default:
	}
	r.run(t)
	d.ended(t)
	if _, err := r.connect(sim, nil); err == nil {
		t.Error("the revoked device was let in again")
	}
}

func TestTheAdapterWaitsForABrokerThatStartsLater(t *testing.T) {
	r := newRig(t)
	r.broker.Process.Kill()
	r.broker.Wait()
	os.Remove(filepath.Join(r.dir, "control.sock"))
	r.run(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	r.SetCredential(sim.Credential, api.Revoked)
	r.start(t)
	eventually(t, "the revoked device is refused", func() error {
		d, err := r.connect(sim, nil)
		if err == nil {
			d.Disconnect(0)
			return errors.New("was let in")
		}
		return nil
	})
}

func TestConfigRefusesWhatTheBrokerWouldMisread(t *testing.T) {
	good := mosquitto.ConfigOptions{Dir: "/d", Listen: "127.0.0.1:1", Certificate: "/c", Key: "/k", PIDFile: "/p"}
	if _, err := mosquitto.Config(good); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*mosquitto.ConfigOptions){
		"relative path": func(o *mosquitto.ConfigOptions) { o.Dir = "d" },
		"second line":   func(o *mosquitto.ConfigOptions) { o.Key = "/k\nallow_anonymous true" },
		"no port":       func(o *mosquitto.ConfigOptions) { o.Listen = "localhost" },
		"user":          func(o *mosquitto.ConfigOptions) { o.User = "a b" },
	} {
		o := good
		spoil(&o)
		if _, err := mosquitto.Config(o); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
}

func TestAPIDFileOfAnotherProcessIsNotBelieved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	for name, text := range map[string]string{"ourselves": fmt.Sprint(os.Getpid()), "rubbish": "x", "init": "1", "none": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid, err := mosquitto.PIDFile(path)(); err == nil {
			t.Errorf("%s: got %d", name, pid)
		}
	}
}
