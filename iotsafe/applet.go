package iotsafe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// ErrNoApplet says that a card has no IoT SAFE applet under any AID that was tried.
var ErrNoApplet = errors.New("the card has no IoT SAFE applet: use a SIM that carries one, or name its AID")

// ErrClosed answers a call on an [Applet] after its Close: its channel may be somebody
// else's by now.
var ErrClosed = errors.New("iotsafe: the applet was closed")

// cleanup is how long closing a session or channel may take after its caller's context
// has ended.
const cleanup = 10 * time.Second

// Applet is a selected IoT SAFE applet on a logical channel of its own. It is safe for
// concurrent use; its commands are carried out one after the other.
type Applet struct {
	card    card.Card
	aid     []byte
	channel int
	opened  bool // by MANAGE CHANNEL, so ours to close

	// turn holds one token: who has taken it may send commands. A channel and not a
	// mutex, so that a caller whose context ends does not wait for a slow card.
	turn chan struct{}

	// Only the holder of turn may use these.
	class   byte // 80 or 00
	settled bool // an applet command was answered in that class
	le      bool // send Le with commands that carry data
	closed  bool

	abandoned map[[2]byte]bool // sessions that the card may still have open

	generation atomic.Uint64
}

type config struct {
	aids    [][]byte
	channel int
	le      bool
}

// Option changes how [Select] looks for the applet and how it is spoken to.
type Option func(*config)

// WithAID makes Select try the given AIDs, in order, in place of [AIDs].
func WithAID(aids ...[]byte) Option { return func(c *config) { c.aids = aids } }

// OnChannel makes Select use logical channel ch, 0 to 19, without opening it: for cards
// that know no MANAGE CHANNEL, or a channel that the caller has opened. Close leaves it
// open.
func OnChannel(ch int) Option { return func(c *config) { c.channel = ch } }

// WithoutLe sends no Le field with commands that carry data, for modems that take such
// a command for malformed. The default is to send it, because it saves the GET RESPONSE
// that a card would otherwise want.
func WithoutLe() Option { return func(c *config) { c.le = false } }

// Select opens a logical channel on c and selects the IoT SAFE applet there. If no
// applet is found, the channel is closed again, and the error wraps [ErrNoApplet] and
// the card's status word; any other refusal ends the search at once. Close frees the
// channel.
func Select(ctx context.Context, c card.Card, opts ...Option) (*Applet, error) {
	conf := config{aids: AIDs, channel: -1, le: true}
	for _, o := range opts {
		o(&conf)
	}
	if len(conf.aids) == 0 {
		return nil, fmt.Errorf("select the IoT SAFE applet: no AID to try")
	}
	a := &Applet{card: c, class: 0x80, le: conf.le, channel: conf.channel, turn: make(chan struct{}, 1)}
	if conf.channel < 0 {
		if err := a.open(ctx); err != nil {
			return nil, fmt.Errorf("select the IoT SAFE applet: %w", err)
		}
	} else if conf.channel > apdu.MaxChannel {
		return nil, fmt.Errorf("select the IoT SAFE applet: channel %d: want 0 to %d", conf.channel, apdu.MaxChannel)
	}
	err := a.find(ctx, conf.aids)
	if err != nil {
		a.closeChannel(ctx)
		return nil, err
	}
	return a, nil
}

// open takes a channel of its own. A card that does not know MANAGE CHANNEL may still
// open channel 1 by SELECT, so that is tried then. Not if its channels are merely all
// in use (6A81): channel 1 is somebody else's.
func (a *Applet) open(ctx context.Context) error {
	ch, err := card.OpenChannel(ctx, a.card)
	switch {
	case err == nil:
		a.channel, a.opened = ch, true
		return nil
	case errors.Is(err, apdu.InstructionNot), errors.Is(err, apdu.ClassNot), errors.Is(err, apdu.ChannelNotSupported):
		a.channel = 1
		return nil
	case errors.Is(err, apdu.FunctionNotSupported):
		return fmt.Errorf("no logical channel is free; close another program that uses the card: %w", err)
	}
	return err
}

func (a *Applet) find(ctx context.Context, aids [][]byte) error {
	for _, aid := range aids {
		err := card.Select(ctx, a.card, a.channel, aid)
		switch {
		case err == nil:
			a.aid = slices.Clone(aid)
			return nil
		case !errors.Is(err, apdu.NotFound):
			return fmt.Errorf("select the IoT SAFE applet %X: %w", aid, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrNoApplet, apdu.NotFound)
}

// AID is the identifier under which the applet was found.
func (a *Applet) AID() []byte { return slices.Clone(a.aid) }

// Generation counts the notices of remote administration: it rises whenever the card
// said, along with a success (63CF) or a failure (6984, 6989), that the applet's store
// is being or has been changed from outside. A cache of anything read from the card is
// good as long as Generation stays the same.
func (a *Applet) Generation() uint64 { return a.generation.Load() }

// Close ends all sessions by closing the logical channel. It waits for a command that is
// under way, and does its work even if ctx has ended meanwhile: cards have few channels.
// Further calls fail, and a second Close does nothing.
func (a *Applet) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	err := a.acquire(ctx)
	switch {
	case errors.Is(err, ErrClosed):
		return nil
	case err != nil:
		return err
	}
	defer a.release()
	a.closed = true
	return a.closeChannel(ctx)
}

// closeChannel closes the channel if it is ours, even if ctx has ended meanwhile.
func (a *Applet) closeChannel(ctx context.Context) error {
	if !a.opened {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	return card.CloseChannel(ctx, a.card, a.channel)
}

func (a *Applet) acquire(ctx context.Context) error {
	select {
	case a.turn <- struct{}{}:
		if a.closed {
			a.release()
			return ErrClosed
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (a *Applet) release() { <-a.turn }
