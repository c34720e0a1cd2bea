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
// of type *Conn, one for each address at a time, or, with connection ids, one for each client
// wherever it is.
type Listener struct {
	socket  net.PacketConn
	config  *Config
	cookies *psktls.DTLSCookies
	conns   chan *Conn

	mu    sync.Mutex
	peers map[string]*peer // by address, the one without connection ids or of the handshake
	byID  map[string]*peer // by our connection id
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
	if _, err := newConn(config, false, randomID(config)); err != nil { // the config is checked before anybody connects
		return nil, err
	}
	l := &Listener{
		socket: socket, config: config, cookies: psktls.NewDTLSCookies(), conns: make(chan *Conn, backlog),
		peers: map[string]*peer{}, byID: map[string]*peer{}, done: make(chan struct{}),
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

// take gives a datagram to whom it concerns: by its connection id wherever it comes from, else by its
// address. A client that begins anew from an address takes the place of the one before
// once it has the cookie (RFC 6347, 4.2.8); with connection ids that one may be another client,
// which comes back from elsewhere, and lives on.
func (l *Listener) take(addr net.Addr, content []byte) {
	name := addr.String()
	id := psktls.DTLSConnectionID(content, l.config.ConnectionIDs)
	l.mu.Lock()
	known := l.peers[name]
	if id != nil {
		known = l.byID[string(id)]
	}
	l.mu.Unlock()
	if id != nil && known == nil {
		return // thrown away silently (RFC 9146, 6)
	}
	hello, ok, answer := l.cookies.Check(time.Now(), name, content)
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
	known.conn.deliver(datagram{addr, content})
}

// admit makes a connection for a peer; nil if too many wait, or if no connection id is free.
func (l *Listener) admit(addr net.Addr, name string, hello [32]byte, before *peer) *peer {
	id, free := l.freeID()
	if !free {
		return nil
	}
	c, err := newConn(l.config, false, id)
	if err != nil {
		return nil
	}
	p := &peer{c, hello}
	c.local, c.remote = l.socket.LocalAddr(), newPath(addr)
	c.send = func(b []byte) error {
		to, err := c.remote.spend(len(b))
		if err == nil {
			_, err = l.socket.WriteTo(b, to)
		}
		return err
	}
	c.moved = func(from, to net.Addr) { l.moved(p, from.String(), to.String()) }
	c.release = func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leave(p, c.remote.now().String())
		delete(l.byID, string(id))
		return nil
	}
	select {
	case l.conns <- c:
	default:
		return nil
	}
	l.mu.Lock()
	l.peers[name] = p
	if len(id) > 0 {
		l.byID[string(id)] = p
	}
	l.mu.Unlock()
	if before != nil && !before.conn.routed.Load() {
		before.conn.end(net.ErrClosed) // without a word, which would reach the new one
	}
	c.start()
	return p
}

// freeID is a connection id that nobody has. Only run makes any.
func (l *Listener) freeID() (id []byte, free bool) {
	for range idAttempts {
		id = randomID(l.config)
		l.mu.Lock()
		_, taken := l.byID[string(id)]
		l.mu.Unlock()
		if !taken {
			return id, true
		}
	}
	return nil, false
}

// idAttempts is how often another id is tried. It takes ids of one byte to need a second.
const idAttempts = 64

// moved notes that a peer is at another address. Somebody else who is known at that one is not
// displaced: connection ids tell them apart, and a sender's address can be forged.
func (l *Listener) moved(p *peer, from, to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leave(p, from)
	select {
	case <-p.conn.ended: // and given back already
		return
	default:
	}
	if l.peers[to] == nil {
		l.peers[to] = p
	}
}

// leave takes a peer from an address. The lock is held.
func (l *Listener) leave(p *peer, address string) {
	if l.peers[address] == p {
		delete(l.peers, address)
	}
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

// live is the connections that have not ended, some of them twice.
func (l *Listener) live() (all []*Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, peers := range []map[string]*peer{l.peers, l.byID} {
		for _, p := range peers {
			all = append(all, p.conn)
		}
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
