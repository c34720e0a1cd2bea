package dtls

import (
	"bytes"
	"net"
	"sync"
	"time"

	"github.com/simroot/simroot/psktls"
)

// backlog is how many connections may wait for Accept; further ones are not begun.
const backlog = 128

// Listener serves all peers of one socket. It is a [net.Listener] whose connections are
// of type *Conn, one for each address at a time.
type Listener struct {
	socket  net.PacketConn
	config  *Config
	cookies *psktls.DTLSCookies
	conns   chan *Conn

	mu    sync.Mutex
	peers map[string]*peer
	done  chan struct{}
	once  sync.Once
	err   error // readable once done is closed
}

// peer is a connection and the random value of the hello that began it.
type peer struct {
	conn  *Conn
	hello [32]byte
}

// Listen serves the socket, and closes it in the end.
func Listen(socket net.PacketConn, config *Config) (*Listener, error) {
	if _, err := newConn(config, false); err != nil { // the config is checked before anybody connects
		return nil, err
	}
	l := &Listener{
		socket: socket, config: config, cookies: psktls.NewDTLSCookies(), conns: make(chan *Conn, backlog),
		peers: map[string]*peer{}, done: make(chan struct{}),
	}
	go l.run()
	return l, nil
}

// run reads the socket.
func (l *Listener) run() {
	buf := make([]byte, longest)
	for {
		n, addr, err := l.socket.ReadFrom(buf)
		if err != nil {
			for _, c := range l.live() {
				c.end(err)
			}
			l.end(err)
			return
		}
		l.take(addr, bytes.Clone(buf[:n]))
	}
}

// take gives a datagram to whom it concerns. A client that begins anew from an address takes
// the place of the one before once it has the cookie (RFC 6347, 4.2.8).
func (l *Listener) take(addr net.Addr, datagram []byte) {
	name := addr.String()
	l.mu.Lock()
	known := l.peers[name]
	l.mu.Unlock()
	hello, ok, answer := l.cookies.Check(time.Now(), name, datagram)
	switch {
	case answer != nil:
		l.socket.WriteTo(answer, addr) //nolint:errcheck // it may as well get lost on the way
		return
	case ok && (known == nil || known.hello != hello):
		if known = l.admit(addr, name, hello, known); known == nil {
			return
		}
	case known == nil:
		return
	}
	known.conn.deliver(datagram)
}

// admit makes a connection for a peer; nil if too many wait.
func (l *Listener) admit(addr net.Addr, name string, hello [32]byte, before *peer) *peer {
	c, err := newConn(l.config, false)
	if err != nil {
		return nil
	}
	p := &peer{c, hello}
	c.local, c.remote = l.socket.LocalAddr(), addr
	c.send = func(b []byte) error { _, err := l.socket.WriteTo(b, addr); return err }
	c.release = func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.peers[name] == p {
			delete(l.peers, name)
		}
		return nil
	}
	select {
	case l.conns <- c:
	default:
		return nil
	}
	l.mu.Lock()
	l.peers[name] = p
	l.mu.Unlock()
	if before != nil {
		before.conn.end(net.ErrClosed) // without a word, which would reach the new one
	}
	c.start()
	return p
}

// Accept waits for the next connection. Its handshake goes on by itself; its first use
// waits for it.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, l.err
	}
}

// Close closes the socket, and with it all connections.
func (l *Listener) Close() error {
	for _, c := range l.live() {
		c.Close() //nolint:errcheck // never fails
	}
	err := l.socket.Close()
	l.end(net.ErrClosed)
	return err
}

// live is the connections that have not ended.
func (l *Listener) live() (all []*Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.peers {
		all = append(all, p.conn)
	}
	return all
}

func (l *Listener) end(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
	})
}

// Addr is that of the socket.
func (l *Listener) Addr() net.Addr { return l.socket.LocalAddr() }
