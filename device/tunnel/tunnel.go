// Package tunnel gives programs that know nothing of SIMs a connection secured by one: what
// connects to a local TCP port is connected to a server by TLS, and what is sent to a local
// UDP port goes to a server by DTLS 1.2, with the SIM's credential.
//
//	t, err := tunnel.Listen(tunnel.Options{SIM: keeper, Forwards: forwards, Log: log})
//	err = t.Run(ctx)
//
// Whoever reaches the local port speaks with the SIM's identity: listen on loopback, and on
// a device whose users may all do so.
//
// Connections that stand do not need the SIM any more, and live on when it goes away. New
// ones are refused at once until it is back.
//
// With a certificate in the SIM it is crypto/tls and pion/dtls that speak, with a PSK it is
// psktls and psktls/dtls. With [Options.AllInSIM] it is psktls with the certificate.
package tunnel

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/psktls"
)

// SIM is where a tunnel finds the SIM. A [device.Keeper] is one.
type SIM interface {
	// Device is the SIM, at once, or why there is none.
	Device() (*device.Device, error)
	// Suspect is called when the SIM has failed, or a server has refused its credential.
	Suspect()
}

// Options say what a tunnel does.
type Options struct {
	SIM      SIM
	Forwards []Forward

	// Public allows local ports that other machines can reach; otherwise they are refused
	// with [ErrPublic].
	Public bool

	// Roots are what server certificates must chain to; nil means the trust anchors on the SIM,
	// or those of the system if it has none. With a PSK, who has the key is the server.
	Roots *x509.CertPool

	// Identity is the identity of the SIM's PSK, asked for with each connection. nil, or an
	// empty one, stands for the SIM's certificate, or, if it has a PSK and none, for the
	// identity that the SIM names.
	Identity func() string

	// AllInSIM has the SIM do the whole key exchange too (see [device.Device.AllInSIMConfig]): TLS
	// 1.3 with the SIM's certificate, or no connection. Not for UDP, nor with an Identity.
	AllInSIM bool

	// MaxConns bounds the connections and DTLS sessions that stand at the same time; 0 means
	// 64. More connections are refused; of the sessions the one that has been quiet for
	// longest makes way.
	MaxConns int

	// Patience is how long a local client waits until the server is reached and the
	// handshake done; 0 means 30 s, enough for a slow SIM behind a slow modem.
	Patience time.Duration

	// Grace is how long connections may take to end when the tunnel is to stop; 0 means
	// 5 s. Then they are cut. DTLS sessions are ended at once.
	Grace time.Duration

	// Idle ends a DTLS session in which nothing has passed; 0 means 5 min.
	Idle time.Duration

	// Silence is how long a server that has answered before may leave datagrams without an answer
	// before the next goes out in a new DTLS session: a server that was started anew has
	// forgotten the old one and cannot say so. 0 means 5 s. One that has never answered,
	// as one that only collects, is given sixty times as long.
	Silence time.Duration

	// MTU is the length in bytes of the longest datagram to a server, without the headers of UDP
	// and IP; 0 means [psktls.DefaultMTU]. What DTLS adds is some 40 bytes of it. Longer ones
	// are lost, and the log says so.
	MTU int

	Log *slog.Logger
}

// settle puts the defaults in place.
func (o *Options) settle() {
	for value, standard := range map[*time.Duration]time.Duration{
		&o.Patience: 30 * time.Second, &o.Grace: 5 * time.Second, &o.Idle: 5 * time.Minute, &o.Silence: 5 * time.Second,
	} {
		if *value == 0 {
			*value = standard
		}
	}
	if o.MaxConns == 0 {
		o.MaxConns = 64
	}
	if o.MTU == 0 {
		o.MTU = psktls.DefaultMTU
	}
}

// carrier serves one forward until ctx ends, and returns when all that it carries has ended.
type carrier interface {
	serve(ctx context.Context)
	addr() net.Addr
	close() error
}

// way is what the carrier of a forward knows.
type way struct {
	Options
	forward Forward
	slots   chan struct{} // holds one entry for each connection or session that stands
	log     *slog.Logger

	// withoutCertificate is a SIM that has turned out to have a PSK only, so that it is not
	// searched for a certificate each time.
	withoutCertificate *atomic.Pointer[device.Device]
}

// Tunnel is a tunnel whose local ports are open.
type Tunnel struct {
	forwards []Forward
	carriers []carrier
}

// Listen opens the local ports, all or none. Nothing is accepted before [Tunnel.Run].
func Listen(o Options) (*Tunnel, error) {
	o.settle()
	if len(o.Forwards) == 0 {
		return nil, errors.New("a tunnel without a forward carries nothing")
	}
	if o.MTU < psktls.MinMTU {
		return nil, fmt.Errorf("an MTU of %d bytes: want at least %d", o.MTU, psktls.MinMTU)
	}
	t := &Tunnel{}
	slots := make(chan struct{}, o.MaxConns) // one for all forwards: they share one SIM
	without := new(atomic.Pointer[device.Device])
	for _, f := range o.Forwards {
		c, err := open(way{o, f, slots, o.Log.With("forward", f.String()), without})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("forward %s: %w", f, err), t.close())
		}
		t.carriers = append(t.carriers, c)
		t.forwards = append(t.forwards, Forward{f.network(), c.addr().String(), f.Remote})
	}
	return t, nil
}

func open(w way) (carrier, error) {
	if err := w.checkAllInSIM(w.forward); err != nil {
		return nil, err
	}
	address, err := w.forward.local(w.Public)
	if err != nil {
		return nil, err
	}
	switch w.forward.network() {
	case TCP:
		return listenStreams(w, address)
	case UDP:
		return listenDatagrams(w, address)
	}
	return nil, fmt.Errorf("network %q: want tcp or udp", w.forward.Network)
}

// Forwards are those of the options, in their order, with the local addresses that were
// opened.
func (t *Tunnel) Forwards() []Forward { return t.forwards }

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
