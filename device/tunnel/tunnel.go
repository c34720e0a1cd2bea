// Package tunnel gives programs that know nothing of SIMs a connection secured by one: what
// connects to a local TCP port is connected to a server by TLS, with the SIM's credential.
//
//	t, err := tunnel.Listen(tunnel.Options{SIM: keeper, Forwards: forwards, Log: log})
//	err = t.Run(ctx)
//
// Whoever reaches the local port speaks with the SIM's identity: listen on loopback, and on
// a device whose users may all do so.
//
// Connections that stand do not need the SIM any more, and live on when it goes away. New
// ones are refused at once until it is back.
package tunnel

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/simroot/simroot/device"
)

// SIM is where a tunnel finds the SIM. A [device.Keeper] is one.
type SIM interface {
	// Device is the SIM, at once, or why there is none.
	Device() (*device.Device, error)
	// Suspect is called when the SIM has failed.
	Suspect()
}

// Options say what a tunnel does.
type Options struct {
	SIM      SIM
	Forwards []Forward

	// Roots are what server certificates must chain to; nil means the trust anchors on the SIM,
	// or those of the system if it has none. With a PSK, who has the key is the server.
	Roots *x509.CertPool

	// Identity is the identity of the SIM's PSK, asked for with each connection. nil, or an
	// empty one, stands for certificates.
	Identity func() string

	// MaxConns bounds the connections that stand at the same time; 0 means 64. More are refused.
	MaxConns int

	// Patience is how long a local client waits until the server is reached and the
	// handshake done; 0 means 30 s, enough for a slow SIM behind a slow modem.
	Patience time.Duration

	// Grace is how long connections may take to end when the tunnel is to stop; 0 means
	// 5 s. Then they are cut.
	Grace time.Duration

	Log *slog.Logger
}

// carrier serves one forward until ctx ends, and returns when all that it carries has ended.
// Streams are what there is; datagrams would be another.
type carrier interface {
	serve(ctx context.Context)
	addr() net.Addr
	close() error
}

// Tunnel is a tunnel whose local ports are open.
type Tunnel struct {
	carriers []carrier
}

// Listen opens the local ports, all or none. Nothing is accepted before [Tunnel.Run].
func Listen(o Options) (*Tunnel, error) {
	if o.MaxConns == 0 {
		o.MaxConns = 64
	}
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if len(o.Forwards) == 0 {
		return nil, errors.New("a tunnel without a forward carries nothing")
	}
	t := &Tunnel{}
	slots := make(chan struct{}, o.MaxConns) // one for all forwards: they share one SIM
	for _, f := range o.Forwards {
		c, err := listenStreams(f, o, slots)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("forward %s: %w", f, err), t.close())
		}
		t.carriers = append(t.carriers, c)
	}
	return t, nil
}

// Addrs are the local addresses, in the order of the forwards.
func (t *Tunnel) Addrs() []net.Addr {
	addrs := make([]net.Addr, len(t.carriers))
	for n, c := range t.carriers {
		addrs[n] = c.addr()
	}
	return addrs
}

// Run carries until ctx ends. Then nothing new is accepted, what stands may end by itself for a
// while, and is cut after that.
func (t *Tunnel) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = t.close() })
	defer stop()
	var wg sync.WaitGroup
	for _, c := range t.carriers {
		wg.Go(func() { c.serve(ctx) })
	}
	wg.Wait()
	if ctx.Err() == nil {
		return errors.Join(errors.New("the local ports were closed"), t.close())
	}
	return nil
}

func (t *Tunnel) close() error {
	var errs []error
	for _, c := range t.carriers {
		if err := c.close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
