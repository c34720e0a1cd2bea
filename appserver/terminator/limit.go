package terminator

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// limit counts connections, in all and of each address.
type limit struct {
	all, each int // 0: no limit
	log       *slog.Logger

	mu     sync.Mutex
	open   int
	of     map[netip.Addr]int // empty if there is no limit for each
	warned time.Time
}

func newLimit(all, each int, log *slog.Logger) *limit {
	return &limit{all: all, each: each, log: log, of: make(map[netip.Addr]int)}
}

// warnEvery keeps a flood out of the log.
const warnEvery = 10 * time.Second

// enter counts a connection. It tells by false that there is no room for it.
func (l *limit) enter(from net.Addr) (leave func(), ok bool) {
	host := addrPort(from).Addr()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.all || l.each > 0 && l.of[host] >= l.each {
		if now := time.Now(); now.Sub(l.warned) >= warnEvery {
			l.warned = now
			l.log.Warn("too many connections; some are refused", "open", l.open, "peer", from, "of this address", l.of[host])
		}
		return nil, false
	}
	l.open++
	if l.each > 0 {
		l.of[host]++
	}
	return sync.OnceFunc(func() { l.leave(host) }), true
}

func (l *limit) leave(host netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.each == 0 {
		return
	}
	if l.of[host]--; l.of[host] == 0 {
		delete(l.of, host)
	}
}

// limited is a listener that hangs up on whom there is no room for, before the handshake.
type limited struct {
	net.Listener
	limit *limit
}

// Accept returns the next connection that there is room for.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if leave, ok := l.limit.enter(conn.RemoteAddr()); ok {
			return &accepted{Conn: conn, leave: leave}, nil
		}
		reset(conn)
	}
}

// accepted is a connection that leaves the count when it is closed.
type accepted struct {
	net.Conn
	leave func()
	ended atomic.Bool // the peer's line has ended
}

// Read reads for TLS. After a close_notify it is not called any more.
func (a *accepted) Read(b []byte) (int, error) {
	n, err := a.Conn.Read(b)
	if err != nil {
		a.ended.Store(true)
	}
	return n, err
}

// Close closes the connection.
func (a *accepted) Close() error {
	a.leave()
	return a.Conn.Close()
}

// reset ends a connection in a way that its peer cannot take for a proper end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST
	}
	conn.Close()
}
