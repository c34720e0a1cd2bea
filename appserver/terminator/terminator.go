package terminator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/psktls"
)

// Options configures [Listen].
type Options struct {
	// Middleware tells who is let in. Its options bound the handshakes.
	Middleware *appserver.Middleware
	// Ways are the ports and what is behind them.
	Ways []Way
	// Certificate gives the server's own, for ways with certificates: see [Certificate.Get].
	Certificate func() (*tls.Certificate, error)
	// ForwardSecrecy refuses pre-shared keys without an ephemeral key exchange, which is all that some small
	// devices have (RFC 7252 asks for no more).
	ForwardSecrecy bool
	// MTU is the length in bytes of the longest datagram to a device, without the headers of UDP and IP; 0:
	// [psktls.DefaultMTU].
	MTU int

	// Connections is how many connections and sessions there are at a time, over all ways; 0: 16384. Each
	// needs two file descriptors.
	Connections int
	// PerAddress is how many of them one IP address may have; 0, the default: as many as there are. Mobile
	// networks have thousands of devices behind one address.
	PerAddress int
	// PerSIM is how many of them one SIM may have; 0: 64. A device that has lost its mind must not take the
	// places of all others.
	PerSIM int
	// DialTimeout is how long the server behind may take to accept a connection; 0: 5 seconds.
	DialTimeout time.Duration
	// Idle ends a datagram session in which nothing was sent for so long; 0: an hour. Streams have no
	// such limit: that their peer is gone is noticed by TCP's probes.
	Idle time.Duration
	// HalfClosed ends a stream of which one direction has ended, when nothing was sent in the other one for so
	// long; 0: a minute.
	HalfClosed time.Duration
	// Drain is how long what stands may take to end by itself when the terminator is told to stop; 0: 10
	// seconds.
	Drain time.Duration

	Logger *slog.Logger // nil: [slog.Default]
}

func (o *Options) setDefaults() error {
	if o.Middleware == nil || len(o.Ways) == 0 {
		return errors.New("terminator: Options need Middleware and Ways")
	}
	for _, w := range o.Ways {
		if err := w.check(); err != nil {
			return fmt.Errorf("terminator: %w", err)
		}
		if w.Kind.Certificates() && o.Certificate == nil {
			return fmt.Errorf("terminator: %s: Options need Certificate", w)
		}
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&o.DialTimeout, 5 * time.Second}, {&o.Idle, time.Hour}, {&o.HalfClosed, time.Minute}, {&o.Drain, 10 * time.Second}} {
		if *d.value <= 0 {
			*d.value = d.usual
		}
	}
	if o.Connections <= 0 {
		o.Connections = 16384
	}
	if o.PerSIM <= 0 {
		o.PerSIM = 64
	}
	if o.MTU == 0 {
		o.MTU = psktls.DefaultMTU
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return nil
}

// Terminator serves some ways.
type Terminator struct {
	ports []*port
}

// port is a way that is open.
type port struct {
	Options
	way     Way
	ln      *appserver.Listener
	limit   *limit
	backend *backend
	log     *slog.Logger
}

// Listen opens the ports of all ways, or none. Nobody is served before [Terminator.Run].
func Listen(o Options) (*Terminator, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	t := &Terminator{}
	shared := newLimit(&o)
	for _, w := range o.Ways {
		p := &port{Options: o, way: w, limit: shared, log: o.Logger.With("way", w.String())}
		p.backend = &backend{address: w.Backend, log: p.log}
		var err error
		if p.ln, err = p.open(); err != nil {
			return nil, errors.Join(fmt.Errorf("terminator: %s: %w", w, err), t.Close())
		}
		p.way.Listen = p.ln.Addr().String()
		t.ports = append(t.ports, p)
	}
	return t, nil
}

// Ways are the ways with the ports that were opened.
func (t *Terminator) Ways() []Way {
	var ways []Way
	for _, p := range t.ports {
		ways = append(ways, p.way)
	}
	return ways
}

// Close closes the ports. It is for those who do not call Run.
func (t *Terminator) Close() error {
	var err error
	for _, p := range t.ports {
		err = errors.Join(err, p.ln.Close())
	}
	return err
}

// Run forwards until ctx ends. Then it accepts nobody any more, lets what stands end for
// [Options.Drain], cuts what has not, and returns nil. If a port fails the others are stopped as well.
func (t *Terminator) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var all sync.WaitGroup
	for _, p := range t.ports {
		all.Go(func() {
			if err := p.serve(ctx); err != nil {
				stop(fmt.Errorf("terminator: %s: %w", p.way, err))
			}
		})
	}
	all.Wait()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// serve serves one port until ctx ends, and drains it then. It fails if the port does.
func (p *port) serve(ctx context.Context) error {
	switch {
	case p.way.Tell == HTTP:
		return p.serveHTTP(ctx)
	case p.way.Kind.Datagrams():
		return p.serveEach(ctx, p.carryDatagrams)
	}
	return p.serveEach(ctx, p.carryStream)
}

// carry takes what comes over one connection to the server behind. Told to stop by the first
// context, it ends when it can; when living ends, at once.
type carry func(stopping, living context.Context, conn *appserver.Conn)

func (p *port) serveEach(ctx context.Context, carry carry) error {
	living, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var standing sync.WaitGroup
	var failure error
	for {
		conn, err := p.ln.AcceptWithContext(ctx)
		if err != nil {
			if ctx.Err() == nil {
				failure = err
			}
			break
		}
		standing.Go(func() {
			defer conn.Close()
			carry(ctx, living, conn.(*appserver.Conn))
		})
	}
	if !p.way.Kind.Datagrams() {
		p.ln.Close() // sessions of datagrams end with their socket
	}
	p.drain(&standing, cut)
	p.ln.Close()
	return failure
}

// drain waits for what stands, and cuts it when that takes too long.
func (p *port) drain(standing *sync.WaitGroup, cut func()) {
	ended := make(chan struct{})
	go func() {
		standing.Wait()
		close(ended)
	}()
	patience := time.NewTimer(p.Drain)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
		p.log.Info("cutting the connections that have not ended by themselves")
		cut()
		<-ended
	}
}

// track has end called when the SIM of a connection is cut off.
func (p *port) track(conn *appserver.Conn, end func()) (forget func(), err error) {
	s, err := p.Middleware.Track(conn.Fingerprint(), func(error) { end() })
	if err != nil {
		return nil, err
	}
	return s.Forget, nil
}
