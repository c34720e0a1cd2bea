package dtls

import (
	"errors"
	"net"
	"sync"
)

// ErrAddressUnproven is why a datagram is not sent: the peer's address has changed, and more
// than three times as much was to be sent there as has come from there. Go on once the peer has sent
// more, or after [Conn.AddressProven].
var ErrAddressUnproven = errors.New("psktls/dtls: the peer's address has changed and is not proven: wait for more from the peer, or call AddressProven once it has answered something that was sent there")

// amplification is how many bytes may be sent to an unproven address for each that has come from
// there, as in QUIC (RFC 9000, 8.1).
const amplification = 3

// path is where a server's peer is, which may change (RFC 9146, 6), and how much may be sent there. The
// address of the handshake is proven, as the peer has returned a cookie from it. Of another one it
// is known only that an authentic datagram came with it as its sender, which
// somebody on the way may have written there in order to have us flood a victim.
type path struct {
	mu      sync.Mutex
	address net.Addr
	proven  string // an address that the peer is known to receive at
	credit  int    // bytes that may be sent to one that is not
}

func newPath(address net.Addr) *path { return &path{address: address, proven: address.String()} }

func (p *path) now() net.Addr {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

// received notes an authentic datagram that is newer than all before, and says whether the peer's
// address has changed, and from which.
func (p *path) received(from net.Addr, n int) (before net.Addr, moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.address
	if moved = from.String() != before.String(); moved {
		p.address, p.credit = from, 0
	}
	p.credit += amplification * n
	return before, moved
}

// spend says where a datagram of n bytes may be sent to.
func (p *path) spend(n int) (net.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.address.String() != p.proven {
		if n > p.credit {
			return nil, ErrAddressUnproven
		}
		p.credit -= n
	}
	return p.address, nil
}

// prove is for an answer to something sent to the address.
func (p *path) prove() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proven = p.address.String()
}
