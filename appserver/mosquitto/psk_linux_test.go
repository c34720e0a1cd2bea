package mosquitto_test

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

// keys is the content of the psk_file.
func (r *rig) keys(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(r.in("psk.txt"))
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
			key, other := r.ProvisionPSK(t, platformtest.ICCID(1), r.Public), r.ProvisionPSK(t, platformtest.ICCID(2), r.Public)
			withCertificate := in(t, r.byCertificate(r.Provision(t, platformtest.ICCID(3))))
			first, second := soon(t, r.byPSK(key, version)), soon(t, r.byPSK(other, version)).listens(t)
			if err := hears(first, second, "before"); err != nil {
				t.Fatal(err)
			}
			r.SetCredential(key.Credential, api.Revoked)
			first.ended(t)
			out(t, r.byPSK(key, version))
			if strings.Contains(r.keys(t), key.Identity) {
				t.Error("the revoked key is still in the file")
			}
			if err := hears(withCertificate, second, "after"); err != nil {
				t.Errorf("the other devices: %v", err)
			}
			second.stays(t)
			withCertificate.stays(t)
		})
	}
}

func TestOnlyTheOwnerReadsTheKeysAndOnlyAcceptedOnesAreThere(t *testing.T) {
	r := newRig(t)
	r.run(t)
	key, gone := r.ProvisionPSK(t, platformtest.ICCID(1), r.Public), r.ProvisionPSK(t, platformtest.ICCID(2), r.Public)
	soon(t, r.byPSK(gone, 0)).Disconnect(0)
	r.SetSIM(platformtest.ICCID(2), api.Suspended)
	want := key.Identity + ":" + hex.EncodeToString(key.Secret) + "\n"
	realparts.WaitUntil(t, "the file holds the accepted key and no other", func() error {
		if got := r.keys(t); got != want {
			return fmt.Errorf("%d lines", strings.Count(got, "\n"))
		}
		return nil
	})
	info, err := os.Stat(r.in("psk.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
	r.SetSIM(platformtest.ICCID(2), api.Provisioned)
	soon(t, r.byPSK(gone, 0)).Disconnect(0)
}

func TestMosquittosOwnClientPublishesWithAPSK(t *testing.T) {
	r := newRig(t)
	r.run(t)
	key := r.ProvisionPSK(t, platformtest.ICCID(1), r.Public)
	listener := soon(t, r.byPSK(key, 0)).listens(t)
	another := r.ProvisionPSK(t, platformtest.ICCID(2), r.Public)
	soon(t, r.byPSK(another, 0)).Disconnect(0)
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
	realparts.WaitUntil(t, "the terminated SIM is refused", func() error {
		if publish() == nil {
			return errors.New("it was let in")
		}
		return nil
	})
}

// A resumed session of OpenSSL shows no identity, and the broker wants one.
func TestASessionTicketOfAPSKIsNoWayIn(t *testing.T) {
	r := newRig(t)
	r.run(t)
	key := r.ProvisionPSK(t, platformtest.ICCID(1), r.Public)
	soon(t, r.byPSK(key, 0)).Disconnect(0)
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
	realparts.WaitUntil(t, "the key is out of the file", func() error {
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
	sim, key := r.Provision(t, platformtest.ICCID(1)), r.ProvisionPSK(t, platformtest.ICCID(2), r.Public)
	d, p := in(t, r.byCertificate(sim)), soon(t, r.byPSK(key, 0))
	refused := func() error {
		if again, err := connect(r.byCertificate(sim)); err == nil {
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
	realparts.WaitUntil(t, "the file holds no keys", func() error {
		if r.keys(t) != "" {
			return errors.New("it does")
		}
		return nil
	})
	for _, live := range []*device{d, p} {
		live.stays(t)
	}
	realparts.WaitUntil(t, "nobody comes in", refused)
	ahead.Store(int64(3 * time.Hour))
	for _, live := range []*device{d, p} {
		live.ended(t)
	}
	ahead.Store(0)
	r.Offline(false)
	soon(t, r.byPSK(key, 0))
	soon(t, r.byCertificate(sim))
}
