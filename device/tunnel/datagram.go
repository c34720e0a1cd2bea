package tunnel

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// datagrams carries what comes to a UDP port into DTLS: for each local address that sends,
// one session with the server.
type datagrams struct {
	way
	local *net.UDPConn

	mu    sync.Mutex
	flows map[netip.AddrPort]*flow // each has one of the slots
}

func listenDatagrams(w way, address string) (*datagrams, error) {
	resolved, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUDP("udp", resolved)
	if err != nil {
		return nil, err
	}
	return &datagrams{way: w, local: l, flows: map[netip.AddrPort]*flow{}}, nil
}

func (d *datagrams) addr() net.Addr { return d.local.LocalAddr() }

func (d *datagrams) close() error { return d.local.Close() }

// longest is the length in bytes of the longest datagram that UDP has.
const longest = 1<<16 - 1

func (d *datagrams) serve(ctx context.Context) {
	var sessions sync.WaitGroup
	defer sessions.Wait()
	ctx, end := context.WithCancel(ctx)
	defer end() // nothing can be answered any more
	buf := make([]byte, longest)
	for {
		n, client, err := d.local.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, net.ErrClosed):
			return
		default: // some systems tell here that a client is gone
			d.log.Debug("no datagram can be read for a moment", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		f, isNew := d.flow(ctx, client, time.Now())
		if f == nil {
			continue
		}
		f.take(bytes.Clone(buf[:n]))
		if isNew {
			sessions.Go(func() {
				defer d.remove(f)
				d.run(f)
			})
		}
	}
}

// flow is that of a client: the one it has, or a new one that is not running yet, or nil if there
// is no room.
func (d *datagrams) flow(ctx context.Context, client netip.AddrPort, now time.Time) (f *flow, isNew bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.flows[client]
	switch {
	case old != nil && !old.unanswered(now, d.Silence):
		return old, false
	case old != nil:
		d.log.Info("the server has stopped answering; trying a new session", "client", client)
		old.end() // its slot is taken over
	default:
		select {
		case d.slots <- struct{}{}:
		default:
			if !d.makeWay(now) {
				d.log.Warn("datagram refused", "client", client, "error", errTooMany)
				return nil, false
			}
		}
	}
	f = newFlow(ctx, client)
	d.flows[client] = f
	return f, true
}

// quietEnough is how long a session must have been quiet before it makes way for another one:
// clients that take turns must not keep the SIM signing.
const quietEnough = 2 * time.Second

// makeWay ends the session that has been quiet for longest, and hands on its slot. The lock is
// held.
func (d *datagrams) makeWay(now time.Time) bool {
	var quietest *flow
	var since time.Time
	for _, f := range d.flows {
		if last, up := f.quietSince(); up && (quietest == nil || last.Before(since)) {
			quietest, since = f, last
		}
	}
	if quietest == nil || now.Sub(since) < min(quietEnough, d.Idle) {
		return false
	}
	d.log.Debug("a quiet session makes way", "client", quietest.client)
	quietest.end()
	delete(d.flows, quietest.client)
	return true
}

// remove forgets a flow that has ended, and gives its slot back if nobody has taken it over.
func (d *datagrams) remove(f *flow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.end()
	if d.flows[f.client] == f {
		delete(d.flows, f.client)
		<-d.slots
	}
}
