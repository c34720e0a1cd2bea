package appserver

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is a TLS or DTLS connection whose peer has shown a credential that is accepted. It
// is closed as soon as that ends; what fails then says why, for [errors.Is].
type Conn struct {
	net.Conn // of the TLS or DTLS library
	under    underlay

	who   holder
	print Fingerprint
	home  *registry
	cause atomic.Pointer[error]

	prev, next *Conn // the others with the same credential; guarded by home.mu
	listed     bool
}

// Identity is who speaks.
func (c *Conn) Identity() Identity { return c.who.identity() }

// Fingerprint is that of the credential that the peer has shown.
func (c *Conn) Fingerprint() Fingerprint { return c.print }

// NetConn is the connection of the TLS or DTLS library that this one lies over, such as a
// [crypto/tls.Conn] or a psktls.Conn.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Cause is why the connection was cut off, and nil if it was not.
func (c *Conn) Cause() error {
	if cause := c.cause.Load(); cause != nil {
		return *cause
	}
	return nil
}

// Read reads from the peer.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.Cause() != nil {
		n = 0
	}
	return n, c.explain(err)
}

// Write writes to the peer.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.explain(err)
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.home.remove(c)
	return c.Conn.Close()
}

// explain is err, or more than that if the connection was cut off.
func (c *Conn) explain(err error) error {
	switch cause := c.Cause(); {
	case cause == nil:
		return err
	case err == nil:
		return fmt.Errorf("connection of SIM %s was cut off: %w", c.Identity().ICCID, cause)
	default:
		return fmt.Errorf("connection of SIM %s was cut off: %w (%w)", c.Identity().ICCID, cause, err)
	}
}

// farewell is how long a peer that is cut off may take to let the alert out.
const farewell = 250 * time.Millisecond

// abandon closes a connection that was never handed out.
func (c *Conn) abandon() {
	if stream, ok := c.Conn.(interface{ NetConn() net.Conn }); ok {
		stream.NetConn().Close()
		return
	}
	c.Conn.Close()
}

// cutOff ends the connection: nothing more is read from it or written to it. The peer is told,
// unless it lets its line clog up.
func (c *Conn) cutOff(reason error) {
	c.cause.CompareAndSwap(nil, &reason)
	c.home.remove(c)
	stream, ok := c.Conn.(interface{ NetConn() net.Conn })
	if !ok { // over datagrams, which wait for nobody
		c.Conn.Close()
		return
	}
	enough := time.AfterFunc(farewell, func() { stream.NetConn().Close() })
	go func() {
		c.Conn.Close()
		enough.Stop()
		stream.NetConn().Close()
	}()
}

// underlay is what lies under the TLS of a connection that a [Listener] hands out as a
// [crypto/tls.Conn]: it is the end of that one which the registry can see.
type underlay struct {
	net.Conn
	above *Conn
}

// NetConn is what was accepted.
func (u *underlay) NetConn() net.Conn { return u.Conn }

// Read reads for TLS.
func (u *underlay) Read(b []byte) (int, error) {
	n, err := u.Conn.Read(b)
	if u.above.Cause() != nil {
		n = 0
	}
	return n, u.above.explain(err)
}

// Close closes the connection.
func (u *underlay) Close() error {
	if u.above.home != nil {
		u.above.home.remove(u.above)
	}
	return u.Conn.Close()
}

// registry lists the live connections by credential.
type registry struct {
	mu    sync.Mutex
	conns map[Fingerprint]*Conn // the first of each list
}

func (r *registry) add(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.home, c.listed = r, true
	if c.next = r.conns[c.print]; c.next != nil {
		c.next.prev = c
	}
	r.conns[c.print] = c
}

func (r *registry) remove(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !c.listed {
		return
	}
	c.listed = false
	if c.next != nil {
		c.next.prev = c.prev
	}
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case c.next != nil:
		r.conns[c.print] = c.next
	default:
		delete(r.conns, c.print)
	}
	c.prev, c.next = nil, nil
}

// has tells whether there is a connection with a credential.
func (r *registry) has(print Fingerprint) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns[print] != nil
}

// cut closes all connections with a credential, and tells how many there were.
func (r *registry) cut(print Fingerprint, reason error) int {
	var list []*Conn
	r.mu.Lock()
	for c := r.conns[print]; c != nil; c = c.next {
		list = append(list, c)
	}
	r.mu.Unlock()
	for _, c := range list {
		c.cutOff(reason)
	}
	return len(list)
}

// cutAll closes all connections for whose credential there is a reason.
func (r *registry) cutAll(reason func(Fingerprint) error) {
	r.mu.Lock()
	prints := make([]Fingerprint, 0, len(r.conns))
	for print := range r.conns {
		prints = append(prints, print)
	}
	r.mu.Unlock()
	for _, print := range prints {
		if err := reason(print); err != nil {
			r.cut(print, err)
		}
	}
}
