package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/simroot/simroot/internal/e2e/realparts"
)

// crowd counts the connections of a server behind.
type crowd struct {
	net.Listener
	open, closed atomic.Int64
}

// gather starts a server that answers each connection with what it hears.
func gather(t *testing.T) *crowd {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &crowd{Listener: ln}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c.open.Add(1)
			all.Go(func() {
				io.Copy(conn, conn) //nolint:errcheck // any end is one
				conn.Close()
				c.closed.Add(1)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		all.Wait()
	})
	return c
}

// Platform, middleware and SIM are real, and so is the end of the process.
func TestATerminatorKilledWithAThousandConnectionsOpenLeavesNoneBehindAndComesBack(t *testing.T) {
	const connections = 1000
	p := &path{t: t, dir: t.TempDir(), sims: map[string]string{}}
	p.startPlatform()
	p.makeSIMs()
	p.simroot(with(p.platform, "device", "onboard", "--card", "vsim:"+p.sims[inFile])...)
	p.simroot(with(p.admin, "platform", "servers", "issue", "127.0.0.1", "--out", p.in("own"))...)
	p.write("server.token", p.simroot(with(p.admin, "platform", "tokens", "create", "server", "--role", "appserver")...))
	behind := gather(t)
	address := realparts.FreeAddress(t)
	serve := func() *realparts.Process {
		t.Helper()
		front := p.start(with(p.platform, "appserver", "serve", "--token-file", p.in("server.token"), "--data", p.in("replica"),
			"--cert", p.in("own/server.crt"), "--key", p.in("own/server.key"), "--max-per-sim", fmt.Sprint(connections), "--terminate", "tls:"+address+"="+behind.Addr().String())...)
		front.WaitLog("ready")
		return front
	}
	front := serve()
	config, err := p.open("vsim:" + p.sims[inFile]).TLSConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dial := func() (net.Conn, error) {
		conn, err := tls.DialWithDialer(&net.Dialer{Timeout: realparts.Patience}, "tcp", address, config)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(3 * realparts.Patience)) //nolint:errcheck // the test would hang and tell
		if _, err = conn.Write([]byte("x")); err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		return conn, err
	}
	open := make([]net.Conn, connections)
	var dialing sync.WaitGroup
	for worker := range 8 {
		dialing.Go(func() {
			for i := worker; i < connections; i += 8 {
				var err error
				if open[i], err = dial(); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	dialing.Wait()
	if t.Failed() {
		return
	}
	if n := behind.open.Load(); n != connections {
		t.Fatalf("the server behind has %d connections", n)
	}
	front.Signal(syscall.SIGKILL)
	front.Wait()
	realparts.WaitFor(t, "the server behind to see all connections close", func() bool { return behind.closed.Load() == connections })
	for i, conn := range open {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d outlives the terminator", i)
		}
	}
	serve()
	if _, err := dial(); err != nil {
		t.Errorf("after a new start: %v", err)
	}
}

// A device's key stays in its SIM, and NATS knows it by its ICCID.
func TestASIMSpeaksToNATSAndIsCutOff(t *testing.T) {
	p := &path{t: t, dir: t.TempDir(), sims: map[string]string{}}
	p.startPlatform()
	p.makeSIMs()
	p.simroot(with(p.platform, "device", "onboard", "--card", "vsim:"+p.sims[inFile])...)
	p.simroot(with(p.admin, "platform", "servers", "issue", "127.0.0.1", "--out", p.in("own"))...)
	p.write("nats.token", p.simroot(with(p.admin, "platform", "tokens", "create", "nats", "--role", "appserver")...))
	address := realparts.FreeAddress(t)
	p.write("nats.conf", p.simroot("appserver", "nats-config", "--dir", p.in("nats"), "--listen", address, "--cert", p.in("own/server.crt"), "--key", p.in("own/server.key")))
	callout := p.start(with(p.platform, "appserver", "serve", "--token-file", p.in("nats.token"), "--data", p.in("replica"),
		"--nats", "tls://"+address, "--nats-dir", p.in("nats"))...)
	callout.WaitLog("Following")
	realparts.Start(t, realparts.Binary(t, "nats-server"), "-c", p.in("nats.conf"))
	callout.WaitLog("connected to NATS")

	d := p.open("vsim:" + p.sims[inFile])
	config, err := d.TLSConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	dial := func(options ...nats.Option) (*nats.Conn, error) {
		return nats.Connect("tls://"+address, append(options, nats.Secure(config), nats.NoReconnect(), nats.Timeout(realparts.Patience))...)
	}
	conn, err := dial(nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	subject := "devices." + inFile + ".meter"
	heard, err := conn.SubscribeSync(subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Publish(subject, []byte("23 kWh")); err != nil {
		t.Fatal(err)
	}
	if m, err := heard.NextMsg(realparts.Patience); err != nil || string(m.Data) != "23 kWh" {
		t.Errorf("heard %v, %v", m, err)
	}
	p.simroot(with(p.admin, "platform", "sims", "revoke", inFile, "--reason", "privilegeWithdrawn")...)
	select {
	case <-closed:
	case <-time.After(realparts.Patience):
		t.Fatal("the revoked SIM's session lives on")
	}
	if again, err := dial(); err == nil {
		again.Close()
		t.Error("the revoked SIM is let in again")
	}
}
