package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/device/tunnel"
	"github.com/simroot/simroot/internal/rig"
)

// present is a SIM that does not go away.
type present struct{ sim *device.Device }

func (p present) Device() (*device.Device, error) { return p.sim, nil }
func (present) Suspect()                          {}

// tunnelRate sends to a TLS server on this machine, through a tunnel and directly, in turns: what
// the way through another process's socket costs. Client, tunnel and server share its cores.
func tunnelRate(ctx context.Context, r *rig.Rig, _ string) (rows []row, err error) {
	_, d, err := onlyOne(ctx, r)
	if err != nil {
		return nil, err
	}
	own, err := r.ServerCertificate(ctx, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer l.Close()
	defer cancel()
	running.Go(func() { swallow(l) })
	t, err := tunnel.Listen(tunnel.Options{
		SIM: present{d}, Forwards: []tunnel.Forward{{Local: "127.0.0.1:0", Remote: l.Addr().String()}}, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	running.Go(func() { ended <- t.Run(ctx) })
	defer func() {
		cancel()
		err = errors.Join(err, <-ended)
	}()
	config, err := d.TLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	direct := func() (net.Conn, error) { return tls.Dial("tcp", l.Addr().String(), config) }
	through := func() (net.Conn, error) { return net.Dial("tcp", t.Forwards()[0].Local) }
	const turns = 10
	var ratios, directRates, throughRates []float64
	for range turns {
		a, err := sendRate(direct)
		if err != nil {
			return nil, err
		}
		b, err := sendRate(through)
		if err != nil {
			return nil, err
		}
		directRates, throughRates, ratios = append(directRates, a), append(throughRates, b), append(ratios, b/a)
	}
	return []row{{
		"sending to a TLS server, through the tunnel against directly",
		fmt.Sprintf("%.0f MB/s against %.0f MB/s: %.2f ×", median(throughRates), median(directRates), median(ratios)), "",
	}}, nil
}

// swallow serves connections that send something, and confirms its end with a byte.
func swallow(l net.Listener) {
	acceptAll(l, func(c net.Conn) {
		if n, err := io.Copy(io.Discard, c); err == nil && n > 0 {
			c.Write([]byte{1}) //nolint:errcheck // the sender tells
		}
	})
}

// acceptAll serves connections until the listener is closed, and the last of them has ended.
func acceptAll(l net.Listener, each func(net.Conn)) {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		conns.Go(func() {
			defer c.Close()
			each(c)
		})
	}
}

// sendRate is how fast something gets to the server, in MB/s, with the handshake before.
func sendRate(dial func() (net.Conn, error)) (float64, error) {
	const length = 128 << 20
	c, err := dial()
	if err != nil {
		return 0, err
	}
	defer c.Close()
	begun, chunk := time.Now(), make([]byte, 1<<16)
	for range length / len(chunk) {
		if _, err := c.Write(chunk); err != nil {
			return 0, err
		}
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(c, chunk[:1]); err != nil {
		return 0, err
	}
	return length / 1e6 / time.Since(begun).Seconds(), nil
}
