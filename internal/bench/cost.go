package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"

	"google.golang.org/grpc/test/bufconn"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// countingCard counts what goes over the interface to the SIM.
type countingCard struct {
	*vsim.Card
	apdus, bytes atomic.Int64
}

func (c *countingCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	answer, err := c.Card.Transmit(ctx, command)
	c.apdus.Add(1)
	c.bytes.Add(int64(len(command) + len(answer)))
	return answer, err
}

// lap returns what was counted since the last lap.
func (c *countingCard) lap() string {
	return fmt.Sprintf("%d APDUs, %d bytes", c.apdus.Swap(0), c.bytes.Swap(0))
}

func onboardingCost(ctx context.Context, r *rig.Rig, _ string) ([]row, error) {
	var rows []row
	for _, kind := range []struct {
		name, fleet, profile string
		credential           api.CredentialType
	}{
		{"certificate", "meters", "common", api.CertificateType},
		{"PSK", "tags", "type2", api.PSKType},
	} {
		if err := r.Fleet(ctx, kind.fleet, api.Profile{Type: kind.credential}); err != nil {
			return nil, err
		}
		states, err := r.SIMs(ctx, kind.fleet, kind.profile, iccid(1, kind.fleet))
		if err != nil {
			return nil, err
		}
		card := &countingCard{Card: vsim.NewMemory(states[0])}
		d, err := device.New(ctx, card)
		if err != nil {
			return nil, err
		}
		card.lap()
		done, err := d.Onboard(ctx, r.Agent)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{"onboarding, " + kind.name, fmt.Sprintf("%s, %d round trips to the platform", card.lap(), done.Steps), ""})
		if done, err = d.Onboard(ctx, r.Agent); err != nil {
			return nil, err
		}
		rows = append(rows, row{"switch-on with a good " + kind.name, fmt.Sprintf("%s, %d round trips to the platform", card.lap(), done.Steps), ""})
	}
	return rows, nil
}

func handshakeCost(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	sim, _, err := onlyOne(ctx, r)
	if err != nil {
		return nil, err
	}
	server, err := startServer(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	defer server.close()

	card := &countingCard{Card: sim}
	card.Reset()
	card.lap()
	d, err := device.New(ctx, card)
	if err != nil {
		return nil, err
	}
	config, err := d.TLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	if err := server.handshake(ctx, config); err != nil {
		return nil, err
	}
	rows := []row{{"TLS 1.3 handshake, cold (open, select, list, certificates, sign)", card.lap(), "≤ 12 APDUs"}}
	if err := server.handshake(ctx, config); err != nil {
		return nil, err
	}
	rows = append(rows, row{"TLS 1.3 handshake, warm", card.lap(), "2 APDUs"})

	roots, err := d.Roots(ctx)
	if err != nil {
		return nil, err
	}
	for _, start := range []struct {
		what string
		opts []device.Option
	}{
		{"TLS 1.3 handshake, cold, CAs from the host", nil},
		{"", []device.Option{device.WithCache(filepath.Join(dir, "cache"))}}, // fills it
		{"TLS 1.3 handshake, cold, CAs from the host, SIM in the cache", []device.Option{device.WithCache(filepath.Join(dir, "cache"))}},
		{"TLS 1.3 handshake, cold, server checked by the SIM too", []device.Option{device.WithServerCheck()}},
	} {
		card.Reset()
		card.lap()
		opts := append(start.opts, device.WithRoots(roots))
		if d, err = device.New(ctx, card, opts...); err != nil {
			return nil, err
		}
		if config, err = d.TLSConfig(ctx); err != nil {
			return nil, err
		}
		if err := server.handshake(ctx, config); err != nil {
			return nil, err
		}
		if cost := card.lap(); start.what != "" {
			rows = append(rows, row{start.what, cost, ""})
		}
	}
	if err := server.handshake(ctx, config); err != nil {
		return nil, err
	}
	rows = append(rows, row{"TLS 1.3 handshake, warm, server checked by the SIM too", card.lap(), ""}, wolfSSL)
	byPSK, err := pskHandshakeCost(ctx, dir)
	return append(rows, byPSK...), err
}

// wolfSSL is what the same costs with wolfSSL's client. make interop counts that, and holds this
// row to it.
var wolfSSL = row{"TLS 1.3 handshake by wolfSSL 5.5.4's client, all of it in the SIM (counted by `make interop`)", "13 commands to start, 23 in the handshake", ""}

func pskHandshakeCost(ctx context.Context, dir string) ([]row, error) {
	w, err := pskReconnect(dir)
	if err != nil {
		return nil, err
	}
	defer w.close()
	card := &countingCard{Card: w.sim}
	d, err := device.New(ctx, card)
	if err != nil {
		return nil, err
	}
	again, err := w.connect(ctx, d)
	if err != nil {
		return nil, err
	}
	if err := again(); err != nil {
		return nil, err
	}
	rows := []row{{"TLS 1.2 ECDHE_PSK handshake, cold (open, select, list, derive)", card.lap(), "≤ 12 APDUs"}}
	if err := again(); err != nil {
		return nil, err
	}
	return append(rows, row{"TLS 1.2 ECDHE_PSK handshake, warm", card.lap(), "1 APDU"}), nil
}

// server is an application server that greets whom it lets in.
type server struct {
	middleware *appserver.Middleware
	inner      net.Listener
	connect    func(context.Context) (net.Conn, error)
	close      func() error
}

// startServer serves TLS through the middleware, on loopback.
func startServer(ctx context.Context, r *rig.Rig, dir string) (*server, error) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return startServerOn(ctx, r, dir, inner, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", inner.Addr().String())
	})
}

// startServerInMemory is startServer without sockets.
func startServerInMemory(ctx context.Context, r *rig.Rig, dir string) (*server, error) {
	inner := bufconn.Listen(16 << 10)
	return startServerOn(ctx, r, dir, inner, inner.DialContext)
}

func startServerOn(ctx context.Context, r *rig.Rig, dir string, inner net.Listener, connect func(context.Context) (net.Conn, error)) (*server, error) {
	m, err := r.Middleware(ctx, dir+"/replica")
	if err != nil {
		return nil, errors.Join(err, inner.Close())
	}
	certificate, err := r.ServerCertificate(ctx, "127.0.0.1")
	if err != nil {
		return nil, errors.Join(err, m.Close(), inner.Close())
	}
	l := m.Listener(inner, m.TLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}, SessionTicketsDisabled: true}))
	go serve(l)
	return &server{middleware: m, inner: inner, connect: connect, close: func() error { return errors.Join(l.Close(), m.Close()) }}, nil
}

// serve greets with one byte and waits for the other end to hang up.
func serve(l net.Listener) {
	acceptAll(l, func(c net.Conn) {
		if _, err := c.Write([]byte{1}); err == nil {
			_, _ = c.Read(make([]byte, 1))
		}
	})
}

// dial opens a connection and waits until the server has let it in.
func (s *server) dial(ctx context.Context, config *tls.Config) (net.Conn, error) {
	under, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	config = config.Clone()
	config.ServerName = "127.0.0.1"
	c := tls.Client(under, config)
	if _, err := c.Read(make([]byte, 1)); err != nil { // which completes the handshake
		return nil, errors.Join(err, under.Close())
	}
	return c, nil
}

func (s *server) handshake(ctx context.Context, config *tls.Config) error {
	c, err := s.dial(ctx, config)
	if err != nil {
		return err
	}
	return c.Close()
}
