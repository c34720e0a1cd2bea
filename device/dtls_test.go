package device_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/device/internal/fixture"
)

// dtlsServer demands a certificate of a CA and says back one datagram on each connection.
func dtlsServer(t *testing.T, ca *fixture.CA, own tls.Certificate) *net.UDPAddr {
	t.Helper()
	l, err := dtls.ListenWithOptions("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)},
		dtls.WithCertificates(own), dtls.WithClientAuth(dtls.RequireAndVerifyClientCert), dtls.WithClientCAs(ca.Pool()))
	if err != nil {
		t.Fatal(err)
	}
	fixture.Serve(t, l, func(c net.Conn) {
		if c.SetDeadline(time.Now().Add(time.Minute)) != nil {
			return
		}
		b := make([]byte, 2000)
		if n, err := c.Read(b); err == nil {
			c.Write(b[:n]) //nolint:errcheck // the client tells
			c.Read(b)      //nolint:errcheck // until the client has heard it and hangs up
		}
	})
	return l.Addr().(*net.UDPAddr)
}

func newDevice(t *testing.T, c *fixture.Slot, opts ...device.Option) *device.Device {
	t.Helper()
	d, err := device.New(t.Context(), c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// greets does a handshake with pion/dtls and sends a datagram there and back.
func greets(t *testing.T, server *net.UDPAddr, options []dtls.ClientOption) error {
	t.Helper()
	c, err := dtls.DialWithOptions("udp", server, options...)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	b := make([]byte, 100)
	n, err := c.Read(b)
	if err == nil && string(b[:n]) != "hello" {
		t.Errorf("heard %q", b[:n])
	}
	return err
}

func TestACertificateInTheSIMOpensDTLSWithPion(t *testing.T) {
	ca := fixture.NewCA(t)
	d := newDevice(t, fixture.NewSlot(ca.GoodSIM()))
	for _, host := range []string{"localhost", "127.0.0.1"} {
		options, err := d.DTLSOptions(t.Context(), host)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // options serve any number of connections
			if err := greets(t, dtlsServer(t, ca, ca.Server()), options); err != nil {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
}

func TestADTLSServerIsHeldToItsNameOrAddressAndToTheAnchorsOnTheSIM(t *testing.T) {
	ca, other := fixture.NewCA(t), fixture.NewCA(t)
	d := newDevice(t, fixture.NewSlot(ca.GoodSIM()))
	for name, c := range map[string]struct {
		host string
		own  tls.Certificate
	}{
		"another name":               {"localhost", ca.Server("elsewhere.example")},
		"an address not named there": {"127.0.0.1", ca.Server("elsewhere.example")},
		"another address":            {"127.0.0.2", ca.Server()},
		"another CA":                 {"127.0.0.1", other.Server()},
	} {
		options, err := d.DTLSOptions(t.Context(), c.host)
		if err != nil {
			t.Fatal(err)
		}
		if err := greets(t, dtlsServer(t, ca, c.own), options); err == nil {
			t.Errorf("%s: the handshake succeeded", name)
		}
	}
	if _, err := d.DTLSOptions(t.Context(), ""); !errors.Is(err, device.ErrNoHost) {
		t.Errorf("without a host: %v", err)
	}
}

func TestTheSIMChecksDTLSServersToo(t *testing.T) {
	ca, intruder := fixture.NewCA(t), fixture.NewCA(t)
	for name, c := range map[string]struct {
		servers *fixture.CA // and what the host trusts
		opts    []device.Option
		good    bool
	}{
		"the anchor's server":            {ca, []device.Option{device.WithServerCheck()}, true},
		"a changed trust store":          {intruder, []device.Option{device.WithServerCheck()}, false},
		"a changed trust store, no look": {intruder, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			slot := fixture.NewSlot(ca.SIMWith(fixture.PeerContainer))
			d := newDevice(t, slot, append(c.opts, device.WithSIMRandom(), device.WithRoots(c.servers.Pool()))...)
			options, err := d.DTLSOptions(t.Context(), "127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			if err := greets(t, dtlsServer(t, ca, c.servers.Server()), options); (err == nil) != c.good {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestASIMWithoutACertificateHasNoDTLSOptions(t *testing.T) {
	d := newDevice(t, fixture.NewSlot(fixture.EmptySIM(t, "common")))
	if _, err := d.DTLSOptions(t.Context(), "localhost"); !errors.Is(err, device.ErrNoCredential) {
		t.Errorf("%v", err)
	}
}
