package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/simroot/simroot/psktls"
)

const (
	// waiting is how many datagrams of a client may wait for the handshake. More are lost,
	// as with UDP.
	waiting = 16

	// holdOff is how long a client whose session could not be opened is not listened to: it costs
	// the server a handshake, and the SIM perhaps a signature, to find that out.
	holdOff = 2 * time.Second

	// collects is how many times [Options.Silence] a server is given that has never answered.
	collects = 60
)

// flow is what passes between one local address and the server, in one DTLS session.
type flow struct {
	ctx    context.Context // until end
	end    context.CancelFunc
	client netip.AddrPort
	queue  chan []byte

	mu       sync.Mutex
	up       bool      // the handshake is done
	last     time.Time // that something passed
	heard    bool      // the server has answered
	awaiting time.Time // since when an answer is; zero if none
}

func newFlow(ctx context.Context, client netip.AddrPort) *flow {
	f := &flow{client: client, queue: make(chan []byte, waiting)}
	f.ctx, f.end = context.WithCancel(ctx)
	return f
}

// take has a datagram of the client's sent, if there is room for it.
func (f *flow) take(b []byte) {
	select {
	case f.queue <- b:
	default:
	}
}

func (f *flow) opened(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up, f.last = true, now
}

// sent and answered note that something has passed.
func (f *flow) sent(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = now
	if f.awaiting.IsZero() {
		f.awaiting = now
	}
}

func (f *flow) answered(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last, f.heard, f.awaiting = now, true, time.Time{}
}

// unanswered tells whether the server has been silent for so long that it seems to have
// forgotten the session.
func (f *flow) unanswered(now time.Time, silence time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.heard {
		silence *= collects
	}
	return f.up && !f.awaiting.IsZero() && now.Sub(f.awaiting) >= silence
}

// quietSince is when something has passed last, and whether the session is open at all.
func (f *flow) quietSince() (time.Time, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last, f.up
}

// run opens the session and carries until it ends.
func (d *datagrams) run(f *flow) {
	ctx := f.ctx
	bounded, cancel := context.WithTimeout(ctx, d.Patience)
	server, err := connect(bounded, &d.way, d.datagramsWithCertificate, d.datagramsWithPSK)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		d.ended(sessionRefused, err, "client", f.client)
		timer := time.NewTimer(holdOff)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return
	}
	began := time.Now()
	d.log.Debug("session opened", "client", f.client, "server", server.RemoteAddr())
	err = d.exchange(f, server)
	if err != nil && !isEnd(err) {
		err = d.judge(err)
	} else {
		err = nil
	}
	d.ended(sessionEnded, err, "client", f.client, "after", time.Since(began).Round(time.Millisecond))
}

// exchange carries both ways until the server ends the session, or nothing passes any more, or
// the flow is ended, and closes the session.
func (d *datagrams) exchange(f *flow, server net.Conn) error {
	var reader sync.WaitGroup
	defer reader.Wait()
	defer server.Close()
	ended := make(chan error, 1)
	reader.Go(func() { ended <- d.answers(f, server) })
	return d.send(f, server, ended)
}

// send passes on what the client sends.
func (d *datagrams) send(f *flow, server net.Conn, ended <-chan error) error {
	f.opened(time.Now())
	idle := time.NewTimer(d.Idle)
	defer idle.Stop()
	tooLong := false
	for {
		select {
		case b := <-f.queue:
			_, err := server.Write(b)
			switch {
			case errors.Is(err, psktls.ErrDatagramTooLong):
				if !tooLong { // once in a session
					tooLong = true
					d.log.Warn("a datagram is lost: it does not fit the MTU", "client", f.client, "bytes", len(b), "mtu", d.MTU, "error", err)
				}
			case err != nil:
				return err
			default:
				f.sent(time.Now())
			}
		case <-idle.C:
			last, _ := f.quietSince()
			if quiet := time.Since(last); quiet < d.Idle {
				idle.Reset(d.Idle - quiet)
				continue
			}
			return nil
		case err := <-ended:
			return err
		case <-f.ctx.Done():
			return nil
		}
	}
}

// answers passes on what the server sends.
func (d *datagrams) answers(f *flow, server net.Conn) error {
	buf := make([]byte, longest)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return err
		}
		f.answered(time.Now())
		if _, err := d.local.WriteToUDPAddrPort(buf[:n], f.client); errors.Is(err, net.ErrClosed) {
			return err
		}
	}
}
