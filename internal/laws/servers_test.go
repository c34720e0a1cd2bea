package laws

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/piondtls"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
	"github.com/simroot/simroot/vsim"
)

// door is one way into an application server: its listener, and how a device comes through it.
type door struct {
	name   string
	fleet  string
	iccid  string
	listen func(*world, *appserver.Middleware) (*appserver.Listener, error)
	dial   func(context.Context, *device.Device, net.Addr) (net.Conn, error)
}

const certificateICCID, pskICCID = "8988211000000000017", "8988211000000000025"

var doors = []door{
	{
		"certificate over DTLS", "meters", certificateICCID,
		func(w *world, m *appserver.Middleware) (*appserver.Listener, error) {
			own, err := w.ServerCertificate(w.t.Context(), "127.0.0.1")
			if err != nil {
				return nil, err
			}
			return piondtls.Listen(m, "udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, pion.WithCertificates(own))
		},
		func(ctx context.Context, d *device.Device, address net.Addr) (net.Conn, error) {
			options, err := d.DTLSOptions(ctx, "127.0.0.1")
			if err != nil {
				return nil, err
			}
			conn, err := pion.DialWithOptions("udp", address.(*net.UDPAddr), options...)
			if err != nil {
				return nil, err
			}
			return conn, conn.HandshakeContext(ctx)
		},
	},
	{
		"PSK over TLS", "tags", pskICCID,
		func(_ *world, m *appserver.Middleware) (*appserver.Listener, error) {
			config, err := m.PSKConfig(nil)
			if err != nil {
				return nil, err
			}
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			return m.PSKListener(inner, config), nil
		},
		func(ctx context.Context, d *device.Device, address net.Addr) (net.Conn, error) {
			config, err := d.PSKConfig(ctx, "", "")
			if err != nil {
				return nil, err
			}
			return psktls.Dial(ctx, "tcp", address.String(), config)
		},
	},
	{
		"PSK over DTLS", "tags", pskICCID,
		func(_ *world, m *appserver.Middleware) (*appserver.Listener, error) {
			config, err := m.PSKConfig(nil)
			if err != nil {
				return nil, err
			}
			socket, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				return nil, err
			}
			return m.DTLSListener(socket, &dtls.Config{Config: *config})
		},
		func(ctx context.Context, d *device.Device, address net.Addr) (net.Conn, error) {
			config, err := d.PSKConfig(ctx, "", "")
			if err != nil {
				return nil, err
			}
			return dtls.Dial(ctx, "udp", address.String(), &dtls.Config{Config: *config})
		},
	},
}

// One application server serves SIMs of both types, each at its door: it knows who speaks, hangs up
// on a SIM that is suspended, lets it in again when it is resumed, and never after it was revoked.
func TestAServerOfBothTypesKnowsItsSIMsAndHangsUpOnThoseThatEnd(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	w.fleet("tags", api.Profile{Type: api.PSKType})
	devices := map[string]*device.Device{}
	for iccid, of := range map[string]struct{ fleet, profile string }{certificateICCID: {"meters", "common"}, pskICCID: {"tags", "type2"}} {
		d, err := device.New(t.Context(), vsim.NewMemory(w.sims(of.fleet, of.profile, iccid)[0]))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Onboard(t.Context(), w.Agent); err != nil {
			t.Fatal(err)
		}
		devices[iccid] = d
	}
	m := w.middleware(filepath.Join(t.TempDir(), "server"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := m.SecretsReady(ctx); err != nil {
		t.Fatal(err)
	}
	changes := make(chan appserver.Change, 100)
	defer m.Watch(func(c appserver.Change) { changes <- c })()
	settled := func(iccid string, barred bool) { // until the feed has brought it
		t.Helper()
		for {
			select {
			case c := <-changes:
				if c.ICCID == iccid && c.Barred == barred {
					return
				}
			case <-ctx.Done():
				t.Fatal(ctx.Err())
			}
		}
	}
	listeners := map[string]*appserver.Listener{}
	for _, door := range doors {
		t.Run(door.name, func(t *testing.T) {
			ln, err := door.listen(w, m)
			if err != nil {
				t.Fatal(err)
			}
			w.t.Cleanup(func() { ln.Close() })
			listeners[door.name] = ln
			visit := func() (*appserver.Conn, net.Conn) {
				t.Helper()
				near, err := door.dial(ctx, devices[door.iccid], ln.Addr())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { near.Close() })
				far, err := ln.AcceptWithContext(ctx)
				if err != nil {
					t.Fatal(err)
				}
				id, known := appserver.IdentityOf(far)
				if !known || id.ICCID != door.iccid || id.Fleet != door.fleet {
					t.Errorf("the server takes it for %+v, %v", id, known)
				}
				return far.(*appserver.Conn), near
			}
			far, near := visit()
			if _, err := w.Admin.SuspendSIM(ctx, door.iccid, api.Change{}); err != nil {
				t.Fatal(err)
			}
			near.SetReadDeadline(time.Now().Add(time.Minute)) //nolint:errcheck // the test would hang and tell
			var late net.Error
			if _, err := near.Read(make([]byte, 1)); err == nil || errors.As(err, &late) && late.Timeout() {
				t.Errorf("the device is not told of the end: %v", err)
			}
			if _, err := far.Read(make([]byte, 1)); !errors.Is(err, appserver.ErrSuspended) {
				t.Errorf("the server's read: %v", err)
			}
			settled(door.iccid, true)
			if _, err := w.Admin.ResumeSIM(ctx, door.iccid, api.Change{}); err != nil {
				t.Fatal(err)
			}
			settled(door.iccid, false)
			visit()
		})
	}
	for iccid := range devices {
		if _, err := w.Admin.RevokeSIM(ctx, iccid, api.Change{}); err != nil {
			t.Fatal(err)
		}
		settled(iccid, true)
	}
	for _, door := range doors {
		short, cancel := context.WithTimeout(ctx, time.Second)
		conn, err := door.dial(short, devices[door.iccid], listeners[door.name].Addr())
		cancel()
		if err == nil {
			conn.Close()
			t.Errorf("%s: a revoked SIM was let in", door.name)
		}
	}
}
