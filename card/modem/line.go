package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	maxLine  = 8192 // characters; 256 bytes of data need 530
	maxLines = 256  // in one answer, unsolicited ones included
)

// line is a serial line with a modem at its other end: whole lines in, commands out. It
// is used by one goroutine at a time.
type line struct {
	port  io.ReadWriteCloser
	lines chan string   // what the modem says, without line ends and empty lines; closed at its end
	ended error         // why lines is closed; set before that
	quit  chan struct{} // closed by close

	step   step
	broken error // after it the line is of no use
}

func newLine(port io.ReadWriteCloser) *line {
	l := &line{port: port, lines: make(chan string, 64), quit: make(chan struct{})}
	go l.read()
	return l
}

// read cuts what comes in into lines until the port is closed. A line that is too long
// loses its end, which its reader notices by the length that it announces.
func (l *line) read() {
	defer close(l.lines)
	var current []byte
	buffer := make([]byte, 1024)
	for {
		n, err := l.port.Read(buffer)
		for _, b := range buffer[:n] {
			switch {
			case b != '\r' && b != '\n':
				if len(current) < maxLine {
					current = append(current, b)
				}
			case len(current) > 0:
				if text := strings.Trim(string(current), " \t\x00"); text != "" {
					select {
					case l.lines <- text:
					case <-l.quit:
						l.ended = ErrClosed
						return
					}
				}
				current = current[:0]
			}
		}
		if err != nil {
			l.ended = err
			return
		}
	}
}

// next is the next line, if it comes before the deadline and before ctx ends.
func (l *line) next(ctx context.Context, deadline <-chan time.Time) (string, error) {
	select {
	case text, ok := <-l.lines:
		if !ok {
			l.broken = fmt.Errorf("the modem is gone (%w): open it again", l.ended)
			return "", l.broken
		}
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-deadline:
		return "", ErrTimeout
	}
}

// drain forgets what the modem has said so far.
func (l *line) drain() {
	for {
		select {
		case _, ok := <-l.lines:
			if !ok {
				return // next tells why
			}
		default:
			return
		}
	}
}

// write sends text. A modem that does not take it before ctx ends or the limit is over
// will not take the rest either, so the line is given up then.
func (l *line) write(ctx context.Context, text string, limit time.Duration) error {
	done := make(chan error, 1)
	go func() {
		_, err := io.WriteString(l.port, text)
		done <- err
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = ErrTimeout
	}
	if err != nil {
		l.broken = fmt.Errorf("the modem took no command: open it again (%w)", err)
		return l.broken
	}
	return nil
}

// do sends one command line and returns what the modem says until its final result,
// which becomes the error. limit is how long that may take.
//
// The lines may include unsolicited ones; echo is left out.
func (l *line) do(ctx context.Context, command string, limit time.Duration) ([]string, error) {
	if err := l.synchronise(ctx); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.drain()
	l.step.lost = true // until the final result
	if err := l.write(ctx, command+"\r", limit); err != nil {
		return nil, err
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var said []string
	for {
		text, err := l.next(ctx, timer.C)
		if err != nil {
			return nil, err
		}
		if result, final := finalResult(text); final {
			l.step.lost = false
			return said, result
		}
		if text == command || strings.HasPrefix(text, "AT+") {
			continue // echo: no answer begins so
		}
		if len(said) == maxLines {
			return nil, fmt.Errorf("%d lines without a result: %w", maxLines, ErrTorn)
		}
		said = append(said, text)
	}
}

// close ends the line, and what waits on it.
func (l *line) close() error {
	close(l.quit)
	if l.broken == nil {
		l.broken = ErrClosed
	}
	return l.port.Close()
}

// answered tells whether an error is the modem's own word, so that the line is in step.
func answered(err error) bool {
	var cme CMEError
	return err == nil || errors.As(err, &cme)
}
