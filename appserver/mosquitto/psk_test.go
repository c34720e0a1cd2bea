package mosquitto_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/psktls"
)

// connectPSK connects a device with a PSK, by TLS 1.2 or 1.3.
func (r *rig) connectPSK(k platformtest.PSK, version uint16) (*device, error) {
	return r.connect(platformtest.SIM{}, func(_ *tls.Config, o *mqtt.ClientOptions) {
		o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
			raw, err := net.Dial("tcp", r.psk)
			if err != nil {
				return nil, err
			}
			conn := psktls.Client(raw, &psktls.Config{
				Identity: []byte(k.Identity), Key: psktls.SecretKey(k.Secret), MinVersion: version, MaxVersion: version,
				AllowPSKOnly: true, // the broker has no certificate with this listener, but may have ephemeral keys
			})
			if err := conn.HandshakeContext(context.Background()); err != nil {
				raw.Close()
				return nil, err
			}
			return conn, nil
		})
	})
}

// soonPSK connects a device whose PSK has just been made.
func (r *rig) soonPSK(t *testing.T, k platformtest.PSK, version uint16) (d *device) {
	t.Helper()
	eventually(t, "the broker knows the PSK", func() (err error) {
		d, err = r.connectPSK(k, version)
		return err
	})
	return d
}

// keys is the content of the psk_file.
func (r *rig) keys(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, "psk.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestADeviceWithAPSKComesInAndIsCutOffWhenThatIsRevoked(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newRig(t)
			r.run(t)
			key, other := r.ProvisionPSK(t, platformtest.ICCID(1), r.sealTo), r.ProvisionPSK(t, platformtest.ICCID(2), r.sealTo)
			withCertificate, err := r.connect(r.Provision(t, platformtest.ICCID(3)), nil)
			if err != nil {
				t.Fatal(err)
			}
			first, second := r.soonPSK(t, key, version), r.soonPSK(t, other, version)
			subscribed(t, second)
			if err := hears(first, second, "before"); err != nil {
				t.Fatal(err)
			}
			r.SetCredential(key.Credential, api.Revoked)
			first.ended(t)
			if again, err := r.connectPSK(key, version); err == nil {
				again.Disconnect(0)
				t.Error("the revoked device was let in again")
			}
			if strings.Contains(r.keys(t), key.Identity) {
				t.Error("the revoked key is still in the file")
			}
			if err := hears(withCertificate, second, "after"); err != nil {
				t.Errorf("the other devices: %v", err)
			}
			for _, d := range []*device{second, withCertificate} {
				select {
				case err := <-d.lost:
					t.Errorf("another device lost its session: %v", err)
				default:
				}
				d.Disconnect(0)
			}
		})
	}
}

func TestOnlyTheOwnerReadsTheKeysAndOnlyAcceptedOnesAreThere(t *testing.T) {
	r := newRig(t)
	r.run(t)
	key, gone := r.ProvisionPSK(t, platformtest.ICCID(1), r.sealTo), r.ProvisionPSK(t, platformtest.ICCID(2), r.sealTo)
	r.soonPSK(t, gone, 0).Disconnect(0)
	r.SetSIM(platformtest.ICCID(2), api.Suspended)
	want := key.Identity + ":" + hex.EncodeToString(key.Secret) + "\n"
	eventually(t, "the file holds the accepted key and no other", func() error {
		if got := r.keys(t); got != want {
			return fmt.Errorf("%d lines", strings.Count(got, "\n"))
		}
		return nil
	})
	info, err := os.Stat(filepath.Join(r.dir, "psk.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	r.SetSIM(platformtest.ICCID(2), api.Provisioned)
	r.soonPSK(t, gone, 0).Disconnect(0)
}

func TestMosquittosOwnClientPublishesWithAPSK(t *testing.T) {
	r := newRig(t)
	r.run(t)
	key := r.ProvisionPSK(t, platformtest.ICCID(1), r.sealTo)
	listener := r.soonPSK(t, key, 0)
	subscribed(t, listener)
	another := r.ProvisionPSK(t, platformtest.ICCID(2), r.sealTo)
	r.soonPSK(t, another, 0).Disconnect(0)
	publish := func() error {
		host, port, _ := net.SplitHostPort(r.psk)
		out, err := exec.Command("mosquitto_pub", "-h", host, "-p", port, "--psk-identity", another.Identity,
			"--psk", hex.EncodeToString(another.Secret), "-t", "t/x", "-m", "hello", "-q", "1").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	if err := publish(); err != nil {
		t.Fatal(err)
	}
	if got := <-listener.received; got != "hello" {
		t.Errorf("heard %q", got)
	}
	r.SetSIM(platformtest.ICCID(2), api.Terminated)
	eventually(t, "the terminated SIM is refused", func() error {
		if publish() == nil {
			return errors.New("it was let in")
		}
		return nil
	})
	listener.Disconnect(0)
}

// A device may have done its handshake before and come with its CONNECT after.
func TestADeviceWithAPSKThatWaitedAfterItsHandshakeIsMute(t *testing.T) {
	r := newRig(t)
	r.run(t)
	key, other := r.ProvisionPSK(t, platformtest.ICCID(1), r.sealTo), r.ProvisionPSK(t, platformtest.ICCID(2), r.sealTo)
	listener := r.soonPSK(t, other, 0)
	subscribed(t, listener)
	d := r.soonPSK(t, key, 0)
	raw, err := net.Dial("tcp", r.psk)
	if err != nil {
		t.Fatal(err)
	}
	waiting := psktls.Client(raw, &psktls.Config{Identity: []byte(key.Identity), Key: psktls.SecretKey(key.Secret), AllowPSKOnly: true})
	defer waiting.Close()
	if err := waiting.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.SetCredential(key.Credential, api.Revoked)
	d.ended(t)
	d, err = r.connect(platformtest.SIM{}, func(_ *tls.Config, o *mqtt.ClientOptions) {
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

// A resumed session of OpenSSL shows no identity, and the broker wants one.
func TestASessionTicketOfAPSKIsNoWayIn(t *testing.T) {
	r := newRig(t)
	r.run(t)
	key := r.ProvisionPSK(t, platformtest.ICCID(1), r.sealTo)
	r.soonPSK(t, key, 0).Disconnect(0)
	ticket := filepath.Join(t.TempDir(), "ticket")
	client := func(flags ...string) string {
		args := []string{"s_client", "-connect", r.psk, "-tls1_2", "-quiet", "-no_ign_eof", "-psk_identity", key.Identity, "-psk", hex.EncodeToString(key.Secret)}
		cmd := exec.Command("openssl", append(args, flags...)...)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// CONNECT, MQTT 3.1.1, client identifier x; then DISCONNECT, at which the broker hangs up.
		io.WriteString(in, "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01x\xe0\x00") //nolint:errcheck // the answer tells
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Fatal("the broker does not hang up")
		}
		return out.String()
	}
	const accepted = "\x20\x02\x00\x00"
	if got := client("-sess_out", ticket); got != accepted {
		t.Fatalf("the broker answers % x", got)
	}
	if _, err := os.Stat(ticket); err != nil {
		return // it gave no ticket
	}
	r.SetCredential(key.Credential, api.Revoked)
	eventually(t, "the key is out of the file", func() error {
		if r.keys(t) != "" {
			return errors.New("not yet")
		}
		return nil
	})
	if got := client("-sess_in", ticket); got == accepted {
		t.Error("the revoked device came in with its ticket")
	}
}

func TestBeyondTheLimitsOfStalenessNobodyComesInAndThenNobodyStays(t *testing.T) {
	var ahead atomic.Int64
	r := newRig(t, func(o *appserver.Options) {
		o.MaxStale, o.CutStale = time.Hour, 2*time.Hour
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	r.run(t)
	sim, key := r.Provision(t, platformtest.ICCID(1)), r.ProvisionPSK(t, platformtest.ICCID(2), r.sealTo)
	d, err := r.connect(sim, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := r.soonPSK(t, key, 0)
	refused := func() error {
		if again, err := r.connect(sim, func(_ *tls.Config, o *mqtt.ClientOptions) {}); err == nil {
			again.Disconnect(0)
			return errors.New("the certificate was let in")
		}
		if r.keys(t) != "" {
			return errors.New("the file still holds keys")
		}
		return nil
	}
	r.Offline(true)
	ahead.Store(int64(90 * time.Minute))
	// The broker gives each client one session: who is let in takes the place of d.
	eventually(t, "the file holds no keys", func() error {
		if r.keys(t) != "" {
			return errors.New("it does")
		}
		return nil
	})
	for _, live := range []*device{d, p} {
		select {
		case err := <-live.lost:
			t.Errorf("a live session ended too early: %v", err)
		default:
		}
	}
	eventually(t, "nobody comes in", refused)
	ahead.Store(int64(3 * time.Hour))
	for _, live := range []*device{d, p} {
		select {
		case <-live.lost:
		case <-time.After(patience):
			t.Error("a session outlives the limit")
		}
	}
	ahead.Store(0)
	r.Offline(false)
	r.soonPSK(t, key, 0).Disconnect(0)
	eventually(t, "the certificate is let in again", func() error {
		again, err := r.connect(sim, nil)
		if err == nil {
			again.Disconnect(0)
		}
		return err
	})
}
