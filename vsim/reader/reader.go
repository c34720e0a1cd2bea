// Package reader puts a card into a virtual reader, so that pcscd and everything behind
// it take it for a real one. It speaks the protocol of vsmartcard's vpcd driver, to which
// the card connects.
//
// Every message, both ways, is two bytes of length, big-endian, then the payload. One byte
// from the driver is a control: 00 power off, 01 power on, 02 reset, none of which has an
// answer; 04 asks for the ATR. Anything longer is an APDU.
package reader

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/simroot/simroot/card"
)

// DefaultAddress is where vpcd listens for the card of its first slot.
const DefaultAddress = "127.0.0.1:35963"

// Powered is a card whose power the reader switches.
type Powered interface {
	card.Card

	// Reset takes the power away and gives it back.
	Reset()

	// ATR is the answer to reset.
	ATR() []byte
}

// Controls of the protocol.
const (
	powerOff byte = 0x00
	powerOn  byte = 0x01
	reset    byte = 0x02
	askATR   byte = 0x04
)

// maxMessage is the longest message accepted, in bytes; no APDU that a card takes is longer.
const maxMessage = 1024

// Run keeps the card in the virtual reader at address ([DefaultAddress] if empty) until
// ctx ends, which is no error. When pcscd goes away, or is not there yet, Run tries again.
// An error means that the card itself failed.
//
// Each report hears nil when the card has got into the reader, and once why it is not
// there, or not there any more.
func Run(ctx context.Context, address string, c Powered, report ...func(error)) error {
	if address == "" {
		address = DefaultAddress
	}
	tell := func(err error) {
		for _, r := range report {
			r(err)
		}
	}
	pause, told := firstPause, false
	for ctx.Err() == nil {
		err := insert(ctx, address, c, func() {
			pause, told = firstPause, false
			tell(nil)
		})
		if ctx.Err() != nil {
			return nil
		}
		if cardFailed := (*cardError)(nil); errors.As(err, &cardFailed) {
			return fmt.Errorf("card in the reader at %s: %w", address, cardFailed.err)
		}
		if !told {
			tell(fmt.Errorf("no reader at %s: %w", address, err))
			told = true
		}
		wait(ctx, pause)
		pause = min(2*pause, lastPause)
	}
	return nil
}

// Pauses between attempts to find the reader.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// cardError sets apart what the card did wrong from what the connection did.
type cardError struct{ err error }

func (e *cardError) Error() string { return e.err.Error() }

// insert connects and serves until the connection or the card fails.
func insert(ctx context.Context, address string, c Powered, inserted func()) error {
	var d net.Dialer // its connections have TCP_NODELAY set
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.Reset()
	defer c.Reset()
	inserted()
	return serve(ctx, conn, conn, func() { quickAck(conn) }, c)
}

// serve answers messages from r on w. acknowledge is called before each wait for a
// message.
func serve(ctx context.Context, r io.Reader, w io.Writer, acknowledge func(), c Powered) error {
	buffer := make([]byte, maxMessage)
	for {
		acknowledge()
		message, err := read(r, buffer)
		if err != nil {
			return err
		}
		var answer []byte
		switch {
		case len(message) > 1:
			if answer, err = c.Transmit(ctx, message); err != nil {
				return &cardError{err}
			}
		case message[0] == askATR:
			answer = c.ATR()
		case message[0] == powerOff, message[0] == powerOn, message[0] == reset:
			c.Reset()
			continue
		default:
			return fmt.Errorf("the reader sent control %02X: want 00, 01, 02 or 04", message[0])
		}
		if err := write(w, answer); err != nil {
			return err
		}
	}
}

// read reads one message of 1 to maxMessage bytes into buffer.
func read(r io.Reader, buffer []byte) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(head[:]))
	if n == 0 || n > len(buffer) {
		return nil, fmt.Errorf("the reader sent a message of %d bytes: want 1 to %d", n, len(buffer))
	}
	if _, err := io.ReadFull(r, buffer[:n]); err != nil {
		return nil, fmt.Errorf("the reader sent half a message: %w", err)
	}
	return buffer[:n], nil
}

// write sends one message in one packet.
func write(w io.Writer, answer []byte) error {
	b := make([]byte, 2, 2+len(answer))
	binary.BigEndian.PutUint16(b, uint16(len(answer)))
	_, err := w.Write(append(b, answer...))
	return err
}
