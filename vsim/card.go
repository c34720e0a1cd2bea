// Package vsim is the virtual SIM: a UICC (vsim/uicc) with a security domain
// (vsim/domain) and the IoT SAFE applet (vsim/applet), kept in one image file
// (vsim/image).
//
//	state, err := vsim.Profile("common", iccid)
//	c, err := vsim.Create("sim1.sim", state)
//	c, err := vsim.Open("sim1.sim")
//
// A [Card] is a card.Conn like any other. Importing the package registers the scheme
// "vsim:", so that card.Open(ctx, "vsim:sim1.sim") opens an image in this process; if
// the image is under a passphrase, that is taken from the environment variable
// SIMROOT_PASSPHRASE.
//
// What a card is delivered with is its profile ([Profile], package profile); which real
// card it behaves as, in what it can do and how long it takes, is its model ([WithModel],
// [WithTiming], package model).
//
// A command that changes what the card keeps is answered when the change is on disk. If
// it cannot be put there the answer is 6581 and the change is not made.
package vsim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/domain"
	"github.com/simroot/simroot/vsim/image"
	"github.com/simroot/simroot/vsim/model"
	"github.com/simroot/simroot/vsim/uicc"
)

func init() {
	card.Register("vsim", func(_ context.Context, file string) (card.Conn, error) {
		return Open(file, WithPassphrase(EnvironmentPassphrase()))
	})
}

// ErrClosed says that a card was used after [Card.Close].
var ErrClosed = errors.New("the virtual SIM is closed")

// Card is one virtual SIM, powered since it was opened. It is safe for concurrent use:
// one command at a time is carried out.
type Card struct {
	card.Turn // for those who need several commands undisturbed; see card.Locker

	mu     sync.Mutex
	uicc   *uicc.UICC
	applet *applet.Applet
	state  image.State  // as it is on disk, but for the applet's part, which the applet has
	file   *image.File  // nil: in memory only
	timing model.Timing // zero: as fast as it can
	err    error        // [ErrClosed] after Close
}

var (
	_ card.Conn   = (*Card)(nil)
	_ card.Locker = (*Card)(nil)
)

// Open powers the virtual SIM that an image file keeps. Nobody else can open the file
// until [Card.Close]; see [image.ErrInUse], [image.ErrDamaged] and, for images under a
// passphrase, [image.ErrNoPassphrase] and [image.ErrWrongPassphrase].
func Open(file string, options ...Option) (*Card, error) {
	o := collect(options)
	f, s, err := image.Open(file, o.passphrase)
	if err != nil {
		return nil, err
	}
	return power(f, s, o)
}

// Create makes an image file that does not exist yet and powers the virtual SIM in it.
func Create(file string, s image.State, options ...Option) (*Card, error) {
	o := collect(options)
	f, err := image.Create(file, s, o.passphrase)
	if err != nil {
		return nil, err
	}
	return power(f, s, o)
}

// NewMemory powers a virtual SIM that is kept nowhere. It panics if no card can be built
// from the state; what [Profile] and [image.Read] return always can.
func NewMemory(s image.State, options ...Option) *Card {
	err := s.Check()
	if err == nil {
		var c *Card
		if c, err = power(nil, s, collect(options)); err == nil {
			return c
		}
	}
	panic("vsim: " + err.Error())
}

func power(f *image.File, s image.State, o option) (*Card, error) {
	c := &Card{Turn: card.NewTurn(), state: s, file: f}
	start := s.Applet
	c.state.Applet = applet.State{}
	err := c.behave(&start, o)
	if err == nil {
		c.uicc, err = c.assemble(start)
	}
	if err != nil {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
		return nil, fmt.Errorf("power the virtual SIM: %w", err)
	}
	return c, nil
}

// assemble puts the card's parts together around the applet's state.
func (c *Card) assemble(start applet.State) (*uicc.UICC, error) {
	number := card.ICCID(c.state.ICCID)
	iccid := number.File()
	c.applet = applet.New(start, iccid, func(next applet.State) error {
		s := c.state
		s.Applet = next
		return c.save(s)
	})
	issuer := domain.New(c.state.Domain, iccid, func(next domain.State) error {
		s := c.whole()
		s.Domain = next
		return c.save(s)
	}, c.applet)
	directory := []uicc.Entry{{AID: c.applet.AIDs()[0], Label: "IoT SAFE"}}
	return uicc.New(number, c.state.ATR, directory, issuer, c.applet)
}

// whole is what the card keeps, the applet's part included.
func (c *Card) whole() image.State {
	s := c.state
	s.Applet = c.applet.State()
	return s
}

// save makes a state durable and then the card's own. It is called while mu is held,
// in the middle of a command.
func (c *Card) save(s image.State) error {
	if c.file != nil {
		if err := c.file.Save(s); err != nil {
			return err
		}
	}
	c.state = s
	c.state.Applet = applet.State{}
	return nil
}

// Transmit implements card.Card. A context that has ended before the card began stops
// the command; afterwards it is carried out to its end.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if c.timing == (model.Timing{}) {
		return c.uicc.Process(command), nil
	}
	return c.processInTime(command), nil
}

// Reset takes the power away and gives it back: channels, sessions and everything
// volatile are gone.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.uicc.Reset()
	}
}

// ATR is the card's answer to reset.
func (c *Card) ATR() []byte { return bytes.Clone(c.uicc.ATR()) }

// State is what the card keeps, keys and secrets included.
func (c *Card) State() image.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.whole()
}

// Close takes the power away and releases the image.
func (c *Card) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil
	}
	c.err = ErrClosed
	c.uicc.Reset()
	if c.file == nil {
		return nil
	}
	return c.file.Close()
}
