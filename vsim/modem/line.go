package modem

import (
	"context"
	"io"
	"time"
)

// bitsPerByte are a start bit, eight bits and a stop bit.
const bitsPerByte = 10

// pacing is how often in a second a slow line hands on what it carried.
const pacing = 100

// maxRead is how much is taken from a line at once, in bytes.
const maxRead = 4096

// Serve joins the modem to a line until it ends, and returns the error with which it
// does: io.EOF from most. Both ways take the time that the personality's speed gives them,
// so that a host sees its time-outs. ctx ends the waiting and the work of the card, but
// not a Read: who closes the line does that.
func (m *Modem) Serve(ctx context.Context, line io.ReadWriter) error {
	buffer := make([]byte, maxRead)
	for {
		n, err := line.Read(buffer)
		if n > 0 {
			if err := m.travel(ctx, n); err != nil {
				return err
			}
			answer, err := m.Input(ctx, buffer[:n])
			if err != nil {
				return &cardError{err}
			}
			if err := m.send(ctx, line, answer); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// cardError sets apart what the card did wrong from what the line did.
type cardError struct{ err error }

func (e *cardError) Error() string { return "the card in the modem: " + e.err.Error() }

func (e *cardError) Unwrap() error { return e.err }

// send puts an answer on the line, piece by piece if the line is slow.
func (m *Modem) send(ctx context.Context, line io.Writer, answer []byte) error {
	piece := len(answer)
	if baud := m.personality.Baud; baud > 0 {
		piece = max(1, baud/bitsPerByte/pacing)
	}
	for len(answer) > 0 {
		n := min(piece, len(answer))
		if err := m.travel(ctx, n); err != nil {
			return err
		}
		if _, err := line.Write(answer[:n]); err != nil {
			return err
		}
		answer = answer[n:]
	}
	return nil
}

// travel waits for as long as n bytes are on the line.
func (m *Modem) travel(ctx context.Context, n int) error {
	if m.personality.Baud == 0 {
		return nil
	}
	timer := time.NewTimer(time.Duration(n) * bitsPerByte * time.Second / time.Duration(m.personality.Baud))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
