package realparts

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// NAT is a translator of addresses between one client and a server, for datagrams. The server sees the client
// at an address outside, which changes when the translator forgets.
type NAT struct {
	// Inside is the address that the client sends to.
	Inside net.Addr

	inside net.PacketConn
	mu     sync.Mutex
	client net.Addr
	out    net.PacketConn
	held   chan []byte // where to what the client sends goes while it is held, else nil
	last   []byte
	up     *Spoiler // the line from the client
	down   *Spoiler
}

// NewNAT translates until the test ends.
func NewNAT(t testing.TB, server net.Addr) *NAT {
	t.Helper()
	n := &NAT{inside: UDP(t)}
	n.Inside = n.inside.LocalAddr()
	n.Forget(UDP(t))
	go func() {
		buf := make([]byte, 1<<16)
		for {
			size, from, err := n.inside.ReadFrom(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.client, n.last = from, bytes.Clone(buf[:size])
			datagram, out, held, line := n.last, n.out, n.held, n.up
			n.mu.Unlock()
			if held != nil {
				held <- datagram
				continue
			}
			line.Pass(datagram, func(b []byte) { out.WriteTo(b, server) }) //nolint:errcheck // as datagrams go
		}
	}()
	return n
}

// UDP is a socket on the loopback, closed with the test.
func UDP(t testing.TB) net.PacketConn {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Forget puts the client to another address, that of out. What comes to the one before no longer reaches
// it.
func (n *NAT) Forget(out net.PacketConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.out = out
	go func() {
		buf := make([]byte, 1<<16)
		for {
			size, _, err := out.ReadFrom(buf)
			if err != nil {
				return
			}
			n.mu.Lock()
			client, current, line := n.client, n.out == out, n.down
			n.mu.Unlock()
			if current && client != nil {
				line.Pass(bytes.Clone(buf[:size]), func(b []byte) { n.inside.WriteTo(b, client) }) //nolint:errcheck // as datagrams go
			}
		}
	}()
}

// Spoil makes the line a bad one both ways, or, with a share of zero, a good one again.
func (n *NAT) Spoil(share float64, seed uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up, n.down = NewSpoiler(share, seed), NewSpoiler(share, seed+1<<32)
}

// Outside is the socket of the client's present address.
func (n *NAT) Outside() net.PacketConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.out
}

// Hold keeps what the client sends from the server until release, and hands it over instead.
func (n *NAT) Hold() (held <-chan []byte, release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held = make(chan []byte, 16)
	return n.held, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.held = nil
	}
}

// Last is the datagram that the client sent last.
func (n *NAT) Last() []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return bytes.Clone(n.last)
}
