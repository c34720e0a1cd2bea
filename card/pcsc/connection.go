package pcsc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/simroot/simroot/card"
)

// Card is a connection to the card in a reader, shared with other programs. It is safe for
// concurrent use.
//
// A call whose context ends returns at once, but PC/SC cannot call the command back: the
// card may still carry it out, and the next call waits until it has.
type Card struct {
	session *session
	reader  string
	atr     []byte

	// transaction is held from Lock to unlock: one transaction at a time in this process.
	transaction chan struct{}

	// turn is held during a call into the library. It guards what follows.
	turn     chan struct{}
	closed   bool
	handle   long
	protocol dword
	answer   [answerSize]byte
}

var (
	_ card.Conn   = (*Card)(nil)
	_ card.Locker = (*Card)(nil)
)

// answerSize is MAX_BUFFER_SIZE of pcsclite.h: a short answer is at most 258 bytes.
const answerSize = 264

// Reader is the name of the reader that the card is in.
func (c *Card) Reader() string { return c.reader }

// ATR is the card's answer to reset at the time it was opened.
func (c *Card) ATR() []byte { return slices.Clone(c.atr) }

// Transmit sends one command APDU and returns the answer. Under T=0 it takes a command to
// the form that T=0 carries: without Le if it has data, with P3 = 00 if it has none. What
// such a command answers then waits behind 61xx.
//
// It fails with [ErrReset] if another program reset the card since the last call, and
// with [ErrCardRemoved] if the card is gone.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) < 4 {
		return nil, fmt.Errorf("transmit to %q: a command of %d bytes: a header has four", c.reader, len(command))
	}
	command = slices.Clone(command) // the call may outlive this one
	if err := c.take(ctx, c.turn); err != nil {
		return nil, err
	}
	answer, err := await(ctx, func() ([]byte, error) {
		defer give(c.turn)
		return c.transmit(command)
	}, func([]byte) {})
	if err != nil {
		return nil, fmt.Errorf("transmit to the card in %q: %w", c.reader, err)
	}
	return answer, nil
}

func (c *Card) transmit(command []byte) ([]byte, error) {
	if c.closed {
		return nil, ErrClosed
	}
	if c.protocol == protocolT0 {
		command = tpdu(command)
	}
	request := ioRequest{protocol: c.protocol, length: ioRequestSize}
	length := dword(len(c.answer))
	result := c.session.lib.transmit(c.handle, &request, &command[0], dword(len(command)), nil, &c.answer[0], &length)
	if err := failure(result); err != nil {
		return nil, c.recovered(err)
	}
	if length < 2 {
		return nil, notTransacted // so vpcd tells that the card left instead of answering
	}
	return slices.Clone(c.answer[:min(length, answerSize)]), nil
}

// Lock begins a PC/SC transaction: until unlock, no other program's command reaches the
// card, nor that of another goroutine which also locks. It waits while somebody else has
// one. It is not reentrant: between Lock and unlock use [apdu.Exchange], not
// [card.Exchange]. unlock never blocks and may be called twice.
func (c *Card) Lock(ctx context.Context) (unlock func(), err error) {
	if err := c.take(ctx, c.transaction); err != nil {
		return nil, err
	}
	if err := c.take(ctx, c.turn); err != nil {
		give(c.transaction)
		return nil, err
	}
	unlock, err = await(ctx, func() (func(), error) {
		defer give(c.turn)
		if err := c.begin(); err != nil {
			give(c.transaction)
			return nil, err
		}
		return sync.OnceFunc(c.end), nil
	}, func(unlock func()) { unlock() })
	if err != nil {
		return nil, fmt.Errorf("lock the card in %q: %w", c.reader, err)
	}
	return unlock, nil
}

func (c *Card) begin() error {
	if c.closed {
		return ErrClosed
	}
	return c.recovered(failure(c.session.lib.beginTransaction(c.handle)))
}

// end gives a transaction back. It does not wait for an abandoned call, but whoever locks
// next does.
func (c *Card) end() {
	c.whenFree(func() {
		if !c.closed {
			c.session.lib.endTransaction(c.handle, leaveCard)
		}
		give(c.transaction)
	})
}

// recovered takes the connection up again after another program's reset, and returns
// the error that tells of it.
func (c *Card) recovered(err error) error {
	if !errors.Is(err, ErrReset) {
		return err
	}
	result := c.session.lib.reconnect(c.handle, shareShared, protocolT0|protocolT1, leaveCard, &c.protocol)
	if again := failure(result); again != nil && !errors.Is(again, ErrReset) {
		return fmt.Errorf("connect again after a reset: %w", again)
	}
	return ErrReset
}

// Close ends the connection and leaves the card as it is. A call that is under way is not
// waited for.
func (c *Card) Close() error {
	c.whenFree(func() {
		if c.closed {
			return
		}
		c.closed = true
		c.session.lib.disconnect(c.handle, leaveCard)
		c.session.release()
	})
	return nil
}

// take waits for its turn at one of the card's two gates.
func (c *Card) take(ctx context.Context, gate chan struct{}) error {
	err := ctx.Err()
	if err == nil {
		select {
		case gate <- struct{}{}:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return fmt.Errorf("wait for the card in %q: %w", c.reader, err)
}

// give lets the next one through a gate.
func give(gate chan struct{}) { <-gate }

// whenFree runs f in its turn: at once if no call is under way, else later.
func (c *Card) whenFree(f func()) {
	run := func() {
		defer give(c.turn)
		f()
	}
	select {
	case c.turn <- struct{}{}:
		run()
	default:
		go func() {
			c.turn <- struct{}{}
			run()
		}()
	}
}
