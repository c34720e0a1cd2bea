package terminator

import (
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/appserver"
)

// limit counts connections, in all, of each address and of each SIM.
type limit struct {
	all, perAddress, perSIM int // the latter two: 0 is no limit
	log                     *slog.Logger

	mu     sync.Mutex
	open   int
	of     map[any]int // netip.Addr, and string for an ICCID
	warned time.Time
}

func newLimit(o *Options) *limit {
	return &limit{all: o.Connections, perAddress: o.PerAddress, perSIM: o.PerSIM, log: o.Logger, of: make(map[any]int)}
}

// warnEvery keeps a flood out of the log.
const warnEvery = 10 * time.Second

// enter counts a connection. It tells by false that there is no room for it.
func (l *limit) enter(from net.Addr) (leave func(), ok bool) {
	host := addrPort(from).Addr()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.all || l.full(host, l.perAddress) {
		l.warn("too many connections; some are refused", "open", l.open, "peer", from, "of this address", l.of[host])
		return nil, false
	}
	l.open++
	one := l.count(host, l.perAddress)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open--
		one()
	}), true
}

// enterSIM is enter for what has shown whose it is.
func (l *limit) enterSIM(iccid string) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full(iccid, l.perSIM) {
		l.warn("a SIM has too many connections; more are refused", "iccid", iccid, "open", l.of[iccid])
		return nil, false
	}
	one := l.count(iccid, l.perSIM)
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		one()
	}), true
}

// full, count and what count returns, which takes it back, need the lock.
func (l *limit) full(who any, most int) bool { return most > 0 && l.of[who] >= most }

func (l *limit) count(who any, most int) (leave func()) {
	if most == 0 {
		return func() {}
	}
	l.of[who]++
	return func() {
		if l.of[who]--; l.of[who] == 0 {
			delete(l.of, who)
		}
	}
}

func (l *limit) warn(what string, args ...any) {
	if now := time.Now(); now.Sub(l.warned) >= warnEvery {
		l.warned = now
		l.log.Warn(what, args...)
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
			return &accepted{Conn: conn, leave: []func(){leave}}, nil
		}
		reset(conn)
	}
}

// accepted is a connection that leaves the counts when it is closed.
type accepted struct {
	net.Conn
	ended atomic.Bool // the peer's line has ended

	mu     sync.Mutex
	leave  []func()
	closed bool
}

// under is what was accepted under a connection, nil if that was no TCP.
func under(conn net.Conn) *accepted {
	for {
		if a, ok := conn.(*accepted); ok {
			return a
		}
		over, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = over.NetConn()
	}
}

// onClose has something done when the connection is closed.
func (a *accepted) onClose(leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		leave()
		return
	}
	a.leave = append(a.leave, leave)
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
	a.mu.Lock()
	a.closed = true
	for _, leave := range a.leave {
		leave()
	}
	a.leave = nil
	a.mu.Unlock()
	return a.Conn.Close()
}

// welcome counts a stream for its SIM, and closes it if that has too many.
func (p *port) welcome(conn net.Conn) bool {
	id, _ := appserver.IdentityOf(conn)
	leave, ok := p.limit.enterSIM(id.ICCID)
	if !ok {
		conn.Close()
		return false
	}
	under(conn).onClose(leave)
	return true
}

// welcoming is a listener of streams that counts for their SIMs.
type welcoming struct {
	net.Listener
	port *port
}

// Accept returns the next connection of a SIM that has room for one.
func (w welcoming) Accept() (net.Conn, error) {
	for {
		conn, err := w.Listener.Accept()
		if err != nil || w.port.welcome(conn) {
			return conn, err
		}
	}
}

// reset ends a connection in a way that its peer cannot take for a proper end.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST
	}
	conn.Close()
}
