package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/simroot/simroot/card"
)

// Serve offers a card on l, to one client after the other: the next one is served when the
// one before has closed its connection. If the card has a method Reset it is called before
// each client and after the last one; if it is a [card.Locker] it is locked while a client
// has it. Serve closes l. It returns nil when ctx ends, and an error when l fails or the
// card does.
func Serve(ctx context.Context, l net.Listener, c card.Card) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	defer l.Close()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, syscall.ECONNABORTED):
			continue // a client that gave up before its turn
		case err != nil:
			return fmt.Errorf("offer a card on %s: %w", l.Addr(), err)
		}
		if err := serveClient(ctx, conn, c); err != nil && ctx.Err() == nil {
			return fmt.Errorf("offer a card on %s: %w", l.Addr(), err)
		}
	}
}

// serveClient carries APDUs until the client closes, misbehaves or ctx ends. Its errors
// are those of the card.
func serveClient(ctx context.Context, conn net.Conn, c card.Card) error {
	defer conn.Close()
	stop := interrupt(ctx, conn)
	defer stop()
	if locker, ok := c.(card.Locker); ok {
		unlock, err := locker.Lock(ctx)
		if err != nil {
			return err
		}
		defer unlock()
	}
	reset(c)
	defer reset(c)
	for {
		command, err := readFrame(conn)
		if err != nil {
			return nil // the client has left, or does not speak this protocol
		}
		answer, err := c.Transmit(ctx, command)
		if err != nil {
			return err
		}
		if writeFrame(conn, answer) != nil {
			return nil
		}
	}
}

func reset(c card.Card) {
	if r, ok := c.(interface{ Reset() }); ok {
		r.Reset()
	}
}
