package device

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/vsim"
)

// watchedCard notes what goes over the interface to a SIM. Closing it leaves the SIM powered.
type watchedCard struct {
	*vsim.Card
	mu       sync.Mutex
	commands [][]byte
	bytes    int
	fail     error  // what every command meets, if not nil
	notice   []byte // what the next success is told with, if not nil
}

var _ card.Conn = (*watchedCard)(nil)

func (c *watchedCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	fail := c.fail
	c.commands = append(c.commands, slices.Clone(command))
	c.mu.Unlock()
	if fail != nil {
		return nil, fail
	}
	answer, err := c.Card.Transmit(ctx, command)
	c.mu.Lock()
	c.bytes += len(command) + len(answer)
	if n := len(answer) - 2; c.notice != nil && err == nil && n >= 0 && answer[n] == 0x90 {
		answer, c.notice = append(answer[:n:n], c.notice...), nil
	}
	c.mu.Unlock()
	return answer, err
}

func (c *watchedCard) Close() error { return nil }

// lap tells how many commands there were since the last lap.
func (c *watchedCard) lap() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.commands)
	c.commands, c.bytes = nil, 0
	return n
}

// sent tells how many commands there were with this instruction since the last lap.
func (c *watchedCard) sent(ins byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, command := range c.commands {
		if command[1] == ins {
			n++
		}
	}
	return n
}

// open is a device on the SIM in a state as after a reset.
func (c *watchedCard) open(t *testing.T, opts ...Option) *Device {
	t.Helper()
	c.Reset()
	d, err := New(t.Context(), c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// serveTLS answers every connection with the serial number of the client's certificate, and
// returns where.
func serveTLS(t *testing.T, config *tls.Config) string {
	t.Helper()
	l := tls.NewListener(fixture.Listen(t), config)
	fixture.Serve(t, l, func(c net.Conn) {
		conn := c.(*tls.Conn)
		if conn.Handshake() == nil {
			for _, peer := range conn.ConnectionState().PeerCertificates {
				io.WriteString(conn, peer.SerialNumber.String())
			}
		}
	})
	return l.Addr().String()
}

// visit does a handshake and returns what the server saw.
func visit(t *testing.T, address string, config *tls.Config) (serial string, state tls.ConnectionState, err error) {
	t.Helper()
	c, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		return "", state, err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), c.(*tls.Conn).ConnectionState(), err
}
