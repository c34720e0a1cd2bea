package mosquitto_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/simroot/simroot/appserver/internal/platformtest"
	"github.com/simroot/simroot/appserver/internal/servertest"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/psktls"
)

// way is how a device reaches the broker: the handshake is done when it returns.
type way func() (net.Conn, error)

// byCertificate is the way of a SIM with a certificate.
func (r *rig) byCertificate(sim platformtest.SIM, changes ...func(*tls.Config)) way {
	config := servertest.TLS(r.Platform, sim.Certificate)
	for _, change := range changes {
		change(config)
	}
	return func() (net.Conn, error) { return tls.Dial("tcp", r.listen, config) }
}

// only restricts a way to one version of TLS.
func only(version uint16) func(*tls.Config) {
	return func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version }
}

// byPSK is the way of a SIM with a PSK, by TLS 1.2 or 1.3, or whatever the broker likes best.
func (r *rig) byPSK(k platformtest.PSK, version uint16) way {
	return func() (net.Conn, error) {
		raw, err := net.Dial("tcp", r.psk)
		if err != nil {
			return nil, err
		}
		conn := psktls.Client(raw, &psktls.Config{
			Identity: []byte(k.Identity), Key: psktls.SecretKey(k.Secret), MinVersion: version, MaxVersion: version,
			AllowPSKOnly: true, // the broker has no certificate with this listener, but may have ephemeral keys
		})
		raw.SetDeadline(time.Now().Add(patience)) //nolint:errcheck // the handshake tells
		if err := conn.Handshake(); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, raw.SetDeadline(time.Time{})
	}
}

// over is the way over a connection that is there already.
func over(conn net.Conn) way { return func() (net.Conn, error) { return conn, nil } }

// device is a connected device.
type device struct {
	mqtt.Client
	lost     chan error
	received chan string
}

// connect connects a device to the broker, which must let it in or not.
func connect(to way, changes ...func(*mqtt.ClientOptions)) (*device, error) {
	d := &device{lost: make(chan error, 1), received: make(chan string, 64)}
	options := mqtt.NewClientOptions().
		AddBroker("tcp://the.broker").
		SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return to() }).
		SetClientID("anything").SetProtocolVersion(4).
		SetAutoReconnect(false).SetConnectTimeout(patience).
		SetConnectionLostHandler(func(_ mqtt.Client, err error) { d.lost <- err }).
		SetDefaultPublishHandler(func(_ mqtt.Client, m mqtt.Message) { d.received <- string(m.Payload()) })
	for _, change := range changes {
		change(options)
	}
	d.Client = mqtt.NewClient(options)
	return d, finish(d.Connect())
}

// in connects a device that must be let in, and takes it away at the end of the test.
func in(t *testing.T, to way, changes ...func(*mqtt.ClientOptions)) *device {
	t.Helper()
	d, err := connect(to, changes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Disconnect(0) })
	return d
}

// soon connects a device whose credential the broker may not know yet.
func soon(t *testing.T, to way) (d *device) {
	t.Helper()
	realparts.WaitUntil(t, "the device is let in", func() (err error) {
		d, err = connect(to)
		return err
	})
	t.Cleanup(func() { d.Disconnect(0) })
	return d
}

// out wants a device to be refused.
func out(t *testing.T, to way) {
	t.Helper()
	if d, err := connect(to); err == nil {
		d.Disconnect(0)
		t.Error("the device was let in")
	}
}

func finish(token mqtt.Token) error {
	if !token.WaitTimeout(patience) {
		return errors.New("the broker does not answer")
	}
	return token.Error()
}

// listens subscribes a device to what all others say.
func (d *device) listens(t *testing.T) *device {
	t.Helper()
	if err := finish(d.Subscribe("t/#", 1, nil)); err != nil {
		t.Fatal(err)
	}
	return d
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

// ended waits until a device has lost its session.
func (d *device) ended(t *testing.T) {
	t.Helper()
	begin := time.Now()
	select {
	case <-d.lost:
		t.Logf("the session ended after %s", time.Since(begin))
	case <-time.After(patience):
		t.Fatal("the session goes on")
	}
}

// stays wants a device to have its session still.
func (d *device) stays(t *testing.T) {
	t.Helper()
	select {
	case err := <-d.lost:
		t.Errorf("a device lost its session: %v", err)
	default:
	}
}
