package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	client "github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/modem"
)

// reconnects are measured this often at each speed.
const reconnects = 9

// speeds are those of the lines, and how long a reconnect may take.
var speeds = []struct {
	personality string
	goal        time.Duration
}{{"115200", 500 * time.Millisecond}, {"9600", 1500 * time.Millisecond}}

// reconnectTime measures how long a device with everything cached takes from dialling a
// server on this machine to the first byte from it, with the SIM in a modem on a slow line,
// and a chip that takes its time as the median card does.
func reconnectTime(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	byCertificate, err := certificateReconnect(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	defer byCertificate.close()
	byPSK, err := pskReconnect(dir)
	if err != nil {
		return nil, err
	}
	defer byPSK.close()
	var rows []row
	for _, s := range speeds {
		for _, w := range []*way{byCertificate, byPSK} {
			row, err := w.through(ctx, s.personality, s.goal)
			if err != nil {
				return nil, fmt.Errorf("%s at %s baud: %w", w.name, s.personality, err)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// way is a way to reconnect.
type way struct {
	name    string
	note    string // to the card
	sim     *vsim.Card
	connect func(context.Context, *device.Device) (func() error, error) // makes everything ready to reconnect
	close   func()
}

// certificateReconnect has a SIM with a certificate, and the platform's application server.
func certificateReconnect(ctx context.Context, r *rig.Rig, dir string) (*way, error) {
	sim, _, err := onlyOne(ctx, r, vsim.WithModel("median"), vsim.WithTiming())
	if err != nil {
		return nil, err
	}
	server, err := startServer(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	return &way{"TLS 1.3, certificate", "", sim, func(ctx context.Context, d *device.Device) (func() error, error) {
		config, err := d.TLSConfig(ctx)
		return func() error { return server.handshake(ctx, config) }, err
	}, func() { _ = server.close() }}, nil
}

// pskReconnect has a SIM with a pre-shared key, and a server that knows the key.
func pskReconnect(dir string) (*way, error) {
	const identity = "bench"
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	label, err := iotsafe.PSKLabel(identity, false)
	if err != nil {
		return nil, err
	}
	profile := filepath.Join(dir, "psk.yaml")
	text := fmt.Sprintf("type: 2\nsecrets:\n- {id: \"21\", label: %q, hex: \"%x\"}\n", label, secret)
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		return nil, err
	}
	state, err := vsim.Profile(profile, iccid(1, "psk"))
	if err != nil {
		return nil, err
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	key := psktls.SecretKey(secret)
	config := &psktls.Config{GetKey: func(_ context.Context, who []byte) (psktls.Key, error) {
		if string(who) != identity {
			return nil, psktls.ErrUnknownIdentity
		}
		return key, nil
	}}
	go serve(pskListener{inner, config})
	sim := vsim.NewMemory(state, vsim.WithModel("median"), vsim.WithTiming())
	return &way{"TLS 1.2, ECDHE_PSK", " (nobody has timed its PRF: at once)", sim, func(ctx context.Context, d *device.Device) (func() error, error) {
		config, err := d.PSKConfig(ctx, "", "localhost")
		return func() error { return pskHandshake(ctx, inner.Addr().String(), config) }, err
	}, func() { _ = inner.Close() }}, nil
}

// pskListener serves TLS with pre-shared keys.
type pskListener struct {
	net.Listener
	config *psktls.Config
}

func (l pskListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return psktls.Server(c, l.config), nil
}

func pskHandshake(ctx context.Context, address string, config *psktls.Config) error {
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	c := psktls.Client(raw, config)
	if err := c.HandshakeContext(ctx); err != nil {
		return errors.Join(err, raw.Close())
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		return errors.Join(err, raw.Close())
	}
	return c.Close()
}

// through reconnects through a modem.
func (w *way) through(ctx context.Context, personality string, goal time.Duration) (_ row, err error) {
	p, err := modem.Lookup(personality)
	if err != nil {
		return row{}, err
	}
	near, far := net.Pipe()
	line := &countedLine{Conn: near}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = modem.New(w.sim, p).Serve(ctx, far)
	}()
	defer func() { near.Close(); far.Close(); cancel(); <-ended }()
	c, err := client.New(ctx, line, client.Options{})
	if err != nil {
		return row{}, err
	}
	d, err := device.New(ctx, c)
	if err != nil {
		return row{}, errors.Join(err, c.Close())
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	again, err := w.connect(ctx, d)
	if err != nil {
		return row{}, err
	}
	if err := again(); err != nil { // the first one fills the caches
		return row{}, err
	}
	line.bytes.Store(0)
	var took []float64
	for range reconnects {
		begun := time.Now()
		if err := again(); err != nil {
			return row{}, err
		}
		took = append(took, ms(time.Since(begun)))
	}
	bytes := line.bytes.Load() / reconnects
	return row{
		fmt.Sprintf("warm reconnect, %s, SIM in a modem at %s baud, median card%s", w.name, personality, w.note),
		fmt.Sprintf("median %.0f ms, slowest %.0f ms; the %d bytes on the line are %.0f ms of it", median(took), quantile(took, 1), bytes,
			ms(time.Duration(bytes)*10*time.Second/time.Duration(p.Baud))),
		fmt.Sprintf("≤ %.1f s", goal.Seconds()),
	}, nil
}

// countedLine counts the bytes on the line to a modem, both ways.
type countedLine struct {
	net.Conn
	bytes atomic.Int64
}

func (l *countedLine) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.bytes.Add(int64(n))
	return n, err
}

func (l *countedLine) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	l.bytes.Add(int64(n))
	return n, err
}
