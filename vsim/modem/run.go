package modem

import (
	"context"
	"errors"
	"fmt"
)

// errHungUp says that the last program that had the terminal open has closed it.
var errHungUp = errors.New("the terminal was closed")

// Run puts a card into a modem on a new pseudo-terminal, to which link is made to point,
// until ctx ends, which is no error. Programs open link as they would open the device of a
// real modem, one after the other; what is sent while none has it open is lost. At the end
// link is gone.
//
// Each ready is told the terminal's own name when the modem can be used. An error means
// that there is no terminal, that link cannot be made (see [ErrOccupied]), or that the
// card itself failed.
func Run(ctx context.Context, link string, c Powered, p Personality, ready ...func(device string)) (err error) {
	t, err := openTerminal()
	if err != nil {
		return fmt.Errorf("make a pseudo-terminal for the modem: %w", err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	stop := context.AfterFunc(ctx, t.interrupt)
	defer stop()
	if err := makeLink(link, t.device); err != nil {
		return fmt.Errorf("link the modem: %w", err)
	}
	defer func() { err = errors.Join(err, removeLink(link, t.device)) }()
	m := New(c, p)
	defer c.Reset()
	for _, r := range ready {
		r(t.device)
	}
	for {
		err := m.Serve(ctx, t)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errHungUp):
			m.HangUp()
		default:
			return fmt.Errorf("modem on %s: %w", link, err)
		}
	}
}
