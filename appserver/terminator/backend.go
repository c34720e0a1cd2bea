package terminator

import (
	"context"
	"log/slog"
	"net"
	"sync"
)

// backend is the server behind a port. It tells the log when that cannot be reached, and when it can
// again: once each, however many devices run into it.
type backend struct {
	address string
	log     *slog.Logger

	mu   sync.Mutex
	lost int // connections since it went away
}

// dial connects to the server.
func (b *backend) dial(ctx context.Context, network string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, b.address)
	if err != nil {
		if ctx.Err() != context.Canceled {
			b.away(err)
		}
		return nil, err
	}
	if network != "udp" { // where dialing asks nobody
		b.here()
	}
	return conn, nil
}

// away notes that the server could not be reached.
func (b *backend) away(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost++; b.lost == 1 {
		b.log.Error("the server behind cannot be reached: is it running? SIMs are hung up on until it is", "server", b.address, "error", err)
	}
}

// here notes that it was reached.
func (b *backend) here() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lost > 0 {
		b.log.Info("the server behind is reached again", "server", b.address, "refused meanwhile", b.lost)
		b.lost = 0
	}
}
