package appserver

import (
	"crypto/tls"
	"fmt"
	"sync"
	"sync/atomic"
)

// Conn is a TLS connection whose peer has shown a credential that is accepted. It is
// closed as soon as that ends; what fails then says why, for [errors.Is].
type Conn struct {
	*tls.Conn
	id    Identity
	print Fingerprint
	home  *registry
	cause atomic.Pointer[error]

	prev, next *Conn // the others with the same certificate; guarded by home.mu
	listed     bool
}

// Identity is who speaks.
func (c *Conn) Identity() Identity { return c.id }

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

func (c *Conn) explain(err error) error {
	if err == nil {
		return nil
	}
	if cause := c.Cause(); cause != nil {
		return fmt.Errorf("connection of SIM %s was cut off: %w (%w)", c.id.ICCID, cause, err)
	}
	return err
}

// registry lists the live connections by certificate.
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

// cut closes all connections with a certificate, and tells how many there were.
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

// cutAll closes all connections for whose certificate there is a reason.
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

// cutOff closes the connection under TLS: a farewell could wait for a peer that does not
// read. Whoever reads or writes on it learns of it and closes the rest.
func (c *Conn) cutOff(reason error) {
	c.cause.CompareAndSwap(nil, &reason)
	c.Conn.NetConn().Close()
	c.home.remove(c)
}
