package mosquitto_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

func TestARevokedDeviceLosesItsSessionAndIsRefused(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := newRig(t)
			r.run(t)
			sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
			way := r.byCertificate(sim, only(version))
			first, second := in(t, way), in(t, r.byCertificate(other, only(version))).listens(t)
			if err := hears(first, second, "before"); err != nil {
				t.Fatal(err)
			}
			r.SetCredential(sim.Credential, api.Revoked)
			first.ended(t)
			out(t, way)
			if err := hears(second, second, "after"); err != nil {
				t.Errorf("the other device: %v", err)
			}
			second.stays(t)
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
			resumed := false
			resuming := r.byCertificate(sim, only(version), func(c *tls.Config) {
				c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				c.VerifyConnection = func(s tls.ConnectionState) error { resumed = s.DidResume; return nil }
			})
			var d *device
			// Not at once: the adapter makes the broker read its files at its start.
			realparts.WaitUntil(t, "the broker resumes a session", func() (err error) {
				if d != nil {
					d.Disconnect(0)
				}
				if d, err = connect(resuming); err == nil && !resumed {
					err = errors.New("a full handshake")
				}
				return err
			})
			r.SetCredential(sim.Credential, api.Revoked)
			d.ended(t)
			out(t, resuming)
		})
	}
}

// A device may have done its handshake before and come with its CONNECT after.
func TestADeviceThatWaitedAfterItsHandshakeIsMute(t *testing.T) {
	for name, provision := range map[string]func(t *testing.T, r *rig, iccid string) (credential string, to way){
		"certificate": func(t *testing.T, r *rig, iccid string) (string, way) {
			sim := r.Provision(t, iccid)
			return sim.Credential, r.byCertificate(sim, only(tls.VersionTLS12)) // in which the broker has accepted when the handshake ends
		},
		"PSK": func(t *testing.T, r *rig, iccid string) (string, way) {
			k := r.ProvisionPSK(t, iccid, r.Public)
			return k.Credential, r.byPSK(k, 0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.run(t)
			credential, to := provision(t, r, platformtest.ICCID(1))
			_, other := provision(t, r, platformtest.ICCID(2))
			listener := soon(t, other).listens(t)
			d := soon(t, to)
			waiting, err := to()
			if err != nil {
				t.Fatal(err)
			}
			defer waiting.Close()
			r.SetCredential(credential, api.Revoked)
			d.ended(t)
			d, err = connect(over(waiting))
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
			d.Disconnect(0)
		})
	}
}

func TestASuspendedSIMIsMuteUntilItIsResumed(t *testing.T) {
	r := newRig(t)
	r.run(t)
	sim, other := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	listener := in(t, r.byCertificate(other)).listens(t)
	d := in(t, r.byCertificate(sim))
	r.SetSIM(sim.ICCID, api.Suspended)
	d.ended(t)
	if d, err := connect(r.byCertificate(sim)); err == nil {
		d.Publish("t/x", 1, false, "forbidden").WaitTimeout(patience)
		if err := hears(listener, listener, "allowed"); err != nil {
			t.Fatal(err)
		}
		d.Disconnect(0)
	}
	r.SetSIM(sim.ICCID, api.Provisioned)
	n := 0
	realparts.WaitUntil(t, "the resumed SIM is heard", func() error {
		n++
		d, err := connect(r.byCertificate(sim))
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
}

func TestADeviceWithItsNewCredentialComesBackAfterTheOldIsRevoked(t *testing.T) {
	r := newRig(t)
	r.run(t)
	old := r.Provision(t, platformtest.ICCID(1))
	d := in(t, r.byCertificate(old))
	renewed := r.Provision(t, old.ICCID)
	r.SetCredential(old.Credential, api.Revoked)
	d.ended(t)
	out(t, r.byCertificate(old))
	d = in(t, r.byCertificate(renewed)).listens(t)
	if err := hears(d, d, "hello"); err != nil {
		t.Error(err)
	}
}

// Nobody becomes another client by asking for its identifier.
func TestADeviceCannotTakeTheNameOfAnother(t *testing.T) {
	r := newRig(t)
	r.run(t)
	one, two := r.Provision(t, platformtest.ICCID(1)), r.Provision(t, platformtest.ICCID(2))
	first := in(t, r.byCertificate(one))
	second := in(t, r.byCertificate(two), func(o *mqtt.ClientOptions) { o.SetClientID(one.ICCID).SetUsername(one.ICCID) })
	first.listens(t)
	if err := hears(second, first, "hello"); err != nil {
		t.Error(err)
	}
}

func TestRevocationsInQuickSuccessionAllWork(t *testing.T) {
	r := newRig(t)
	r.run(t)
	for i := range 3 {
		sim := r.Provision(t, platformtest.ICCID(i))
		d := in(t, r.byCertificate(sim))
		r.SetCredential(sim.Credential, api.Revoked)
		d.ended(t)
		out(t, r.byCertificate(sim))
	}
}

func TestWhatWasRevokedWhileTheAdapterDidNotRunIsEndedAtItsStart(t *testing.T) {
	r := newRig(t)
	stop := r.run(t)
	sim := r.Provision(t, platformtest.ICCID(1))
	d := in(t, r.byCertificate(sim))
	stop()
	r.SetCredential(sim.Credential, api.Revoked)
	r.InStep(t)
	d.stays(t)
	r.run(t)
	d.ended(t)
	out(t, r.byCertificate(sim))
}
