package appserver

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Listener accepts connections of SIMs with an accepted credential; see [Middleware.Listener].
type Listener struct {
	m     *Middleware
	inner net.Listener
	admit AdmitFunc

	slots    chan struct{} // one for each connection that was not handed out yet
	mu       sync.Mutex
	shaking  list.List // of handshaking, oldest first
	admitted chan *Conn
	ctx      context.Context // ends when the listener is closed
	cancel   context.CancelCauseFunc
	running  sync.WaitGroup
}

// AdmitFunc completes the handshake of an accepted connection, which it closes if it fails.
type AdmitFunc func(ctx context.Context, accepted net.Conn) (*Conn, error)

// Listener completes the handshakes of the connections that inner accepts, many at once
// and each within [Options.HandshakeTimeout], and hands out those that succeed. Config is
// one of [Middleware.TLSConfig]. It takes over inner.
//
// Every connection that it accepts is a [*Conn]: [IdentityOf] tells whose it is, and it is
// closed as soon as its credential is no longer accepted. For [net/http.Server] and others that
// want to see a [crypto/tls.Conn] there is [Listener.TLS].
func (m *Middleware) Listener(inner net.Listener, config *tls.Config) *Listener {
	return m.ListenerFunc(inner, func(ctx context.Context, accepted net.Conn) (*Conn, error) {
		c := &Conn{}
		c.under = underlay{accepted, c}
		return m.admit(ctx, c, tls.Server(&c.under, config))
	})
}

// ListenerFunc is [Middleware.Listener] for any way to secure a connection.
func (m *Middleware) ListenerFunc(inner net.Listener, admit AdmitFunc) *Listener {
	l := &Listener{m: m, inner: inner, admit: admit, slots: make(chan struct{}, m.handshakes), admitted: make(chan *Conn)}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.running.Go(l.run)
	return l
}

// Accept returns the next connection whose handshake has succeeded.
func (l *Listener) Accept() (net.Conn, error) {
	conn, err := l.next(context.Background())
	if err != nil { // not a nil *Conn in an interface
		return nil, err
	}
	return conn, nil
}

// AcceptWithContext is Accept that ends with a context. It is what servers of go-coap call, to whom
// [io.EOF] is the end of a listener: so it is in this error, too.
func (l *Listener) AcceptWithContext(ctx context.Context) (net.Conn, error) {
	conn, err := l.next(ctx)
	if err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w (%w)", err, io.EOF)
		}
		return nil, err
	}
	return conn, nil
}

func (l *Listener) next(ctx context.Context) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-l.ctx.Done():
		return nil, l.reason()
	default:
	}
	select {
	case conn := <-l.admitted:
		return conn, nil
	case <-l.ctx.Done():
		return nil, l.reason()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TLS is the same listener for servers that look for a [*crypto/tls.Conn], such as
// [net/http.Server]: with it they fill in Request.TLS, and speak HTTP/2 if the configuration
// has "h2" among its NextProtos. [IdentityOf] and [ConnContext] know its connections. It is for
// [Middleware.Listener] only.
func (l *Listener) TLS() net.Listener { return tlsListener{l} }

type tlsListener struct{ *Listener }

// Accept returns the next connection whose handshake has succeeded.
func (l tlsListener) Accept() (net.Conn, error) {
	conn, err := l.next(context.Background())
	if err != nil {
		return nil, err
	}
	secured, ok := conn.Conn.(*tls.Conn)
	if !ok {
		conn.Close()
		return nil, &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: errors.New("not a listener of TLS")}
	}
	return secured, nil
}

// Addr is the address of the inner listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Close stops accepting and ends the handshakes that are under way. Connections that were
// accepted stay open.
func (l *Listener) Close() error {
	l.cancel(net.ErrClosed)
	err := l.inner.Close()
	l.running.Wait()
	return err
}

func (l *Listener) reason() error {
	return &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: context.Cause(l.ctx)}
}

// run accepts until the listener is closed or cannot accept any more.
func (l *Listener) run() {
	pause := time.Duration(0)
	for {
		conn, err := l.inner.Accept()
		if err != nil {
			// Out of file descriptors, most likely: connections that end will free some.
			var passing interface{ Temporary() bool }
			if !errors.As(err, &passing) || !passing.Temporary() {
				l.cancel(err)
				return
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			l.m.log.Warn("no connection can be accepted for the moment", "error", err, "again in", pause)
			select {
			case <-time.After(pause):
			case <-l.ctx.Done():
				return
			}
			continue
		}
		pause = 0
		if !l.slot() {
			conn.Close()
			return
		}
		ctx, crowdOut := context.WithCancelCause(l.ctx)
		l.mu.Lock() // at once, so that the next connection that finds no place knows of this one
		place := l.shaking.PushBack(handshaking{time.Now(), crowdOut})
		l.mu.Unlock()
		l.running.Go(func() {
			defer func() { <-l.slots }()
			defer crowdOut(nil)
			l.take(ctx, conn, place)
		})
	}
}

// errCrowded ends a handshake.
var errCrowded = errors.New("too many handshakes at once: one that does not get on gives way")

// handshaking is a handshake that is under way.
type handshaking struct {
	begun time.Time
	end   context.CancelCauseFunc
}

// slot waits for a place for one more connection. While there is none, the oldest handshake ends once it
// has had a quarter of its time: it is most likely one of those that do not get on, which would
// otherwise keep everybody out for all of theirs. It is false if the listener ends.
func (l *Listener) slot() bool {
	select {
	case l.slots <- struct{}{}:
		return true
	default:
	}
	for {
		var patience <-chan time.Time // for ever, if all places are of connections that nobody takes
		l.mu.Lock()
		if oldest := l.shaking.Front(); oldest != nil {
			h := oldest.Value.(handshaking)
			wait := l.m.timeout/4 - time.Since(h.begun)
			if wait <= 0 {
				l.shaking.Remove(oldest)
				h.end(errCrowded)
				wait = l.m.timeout // its place is about to be free
			}
			patience = time.After(wait)
		}
		l.mu.Unlock()
		select {
		case l.slots <- struct{}{}:
			return true
		case <-patience:
		case <-l.ctx.Done():
			return false
		}
	}
}

// take brings a connection through its handshake, which stands at place among those under way.
func (l *Listener) take(ctx context.Context, conn net.Conn, place *list.Element) {
	ctx, cancel := context.WithTimeout(ctx, l.m.timeout)
	defer cancel()
	admitted, err := l.admit(ctx, conn)
	l.mu.Lock()
	l.shaking.Remove(place)
	l.mu.Unlock()
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		l.m.log.Debug("handshake failed", "peer", conn.RemoteAddr(), "error", err)
		return
	}
	select {
	case l.admitted <- admitted:
	case <-l.ctx.Done():
		admitted.Close()
	}
}
