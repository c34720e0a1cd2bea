// Package tcp carries APDUs over a TCP connection: two bytes of length, big-endian, then
// the bytes, both ways. Importing it registers the scheme "tcp:", so that
// card.Open(ctx, "tcp:127.0.0.1:7000") reaches the card that [Serve] offers there.
//
// A connection is one powered card: it begins and ends with a reset, and nobody else has the card
// meanwhile. The protocol has no security of its own: use it on loopback or inside a tunnel.
package tcp

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/simroot/simroot/card"
)

func init() {
	card.Register("tcp", func(ctx context.Context, address string) (card.Conn, error) {
		return Dial(ctx, address)
	})
}

// Conn is a card behind a connection. It is safe for concurrent use.
type Conn struct {
	card.Turn // for those who need several commands undisturbed; see card.Locker

	conn net.Conn
	busy card.Turn // one exchange at a time; also guards err
	err  error     // after it the connection is of no use
}

var (
	_ card.Conn   = (*Conn)(nil)
	_ card.Locker = (*Conn)(nil)
)

// Dial connects to the card at address, "host:port".
func Dial(ctx context.Context, address string) (*Conn, error) {
	var d net.Dialer // its connections have TCP_NODELAY set
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &Conn{Turn: card.NewTurn(), busy: card.NewTurn(), conn: conn}, nil
}

// Transmit implements card.Card. If ctx ends before the answer is there, the connection is
// closed: whether the card has carried out the command is unknown then.
func (c *Conn) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	free, err := c.busy.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	if c.err != nil {
		return nil, c.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	answer, err := c.exchange(ctx, command)
	if err != nil {
		_ = c.conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		c.err = fmt.Errorf("card at %s: its connection has failed (%v): open the card again", c.conn.RemoteAddr(), err)
		return nil, fmt.Errorf("card at %s: %w", c.conn.RemoteAddr(), err)
	}
	return answer, nil
}

func (c *Conn) exchange(ctx context.Context, command []byte) ([]byte, error) {
	stop := interrupt(ctx, c.conn)
	defer stop()
	if err := writeFrame(c.conn, command); err != nil {
		return nil, err
	}
	return readFrame(c.conn)
}

// interrupt makes reads and writes on conn fail from the moment ctx ends, until stop is
// called.
func interrupt(ctx context.Context, conn net.Conn) (stop func()) {
	interrupted := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		_ = conn.SetDeadline(time.Unix(1, 0))
		close(interrupted)
	})
	return func() {
		if !cancel() {
			<-interrupted
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// Close ends the connection.
func (c *Conn) Close() error {
	err := c.conn.Close() // an exchange under way fails
	free, _ := c.busy.Lock(context.Background())
	defer free()
	if c.err != nil {
		return nil // closed before
	}
	c.err = fmt.Errorf("card at %s: %w", c.conn.RemoteAddr(), os.ErrClosed)
	return err
}
