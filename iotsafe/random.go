package iotsafe

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/simroot/simroot/apdu"
)

// insGetRandom is GET RANDOM.
const insGetRandom = 0x84

// maxRandom is the most random bytes asked for in one command. Some modems cut what a card
// answers behind 50 bytes, the status word among them, and random bytes in the place of a
// status word may look like any; and a card in the field answers zeros to 128 and more.
const maxRandom = 48

// suspicious is the number of bytes from which on nothing but zeros is taken for a
// broken generator and not for chance.
const suspicious = 16

var errNoData = errors.New("the card answered success without data")

// Random returns n bytes from the applet's random number generator.
func (a *Applet) Random(ctx context.Context, n int) ([]byte, error) {
	if n < 0 {
		return nil, Error{Op: opRandom}.failed(fmt.Errorf("%d bytes", n))
	}
	b := make([]byte, n)
	if err := a.fill(ctx, b); err != nil {
		return nil, err
	}
	return b, nil
}

func (a *Applet) fill(ctx context.Context, b []byte) error {
	what := Error{Op: opRandom}
	for len(b) > 0 {
		n := min(len(b), maxRandom)
		part, err := a.randomPart(ctx, what, n)
		if err != nil {
			return err
		}
		if len(part) != n {
			return what.failed(fmt.Errorf("the card answered %d bytes: want %d", len(part), n))
		}
		if n >= suspicious && allZero(part) {
			return what.failed(errors.New("the card answered nothing but zeros; its random numbers are not to be trusted"))
		}
		b = b[copy(b, part):]
	}
	return nil
}

// randomPart is one GET RANDOM. Some applets tell with 6300 that there would be more.
func (a *Applet) randomPart(ctx context.Context, what Error, n int) ([]byte, error) {
	if err := a.acquire(ctx); err != nil {
		return nil, what.failed(err)
	}
	defer a.release()
	r, err := a.send(ctx, apdu.Command{INS: insGetRandom, Le: n})
	switch {
	case err != nil:
		return nil, what.failed(err)
	case !r.SW.Succeeded() && r.SW != apdu.MoreData:
		return nil, what.refused(r.SW)
	}
	return r.Data, nil
}

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// Rand returns the applet's random number generator as a reader that always fills what
// it is given or fails. ctx bounds every read.
func (a *Applet) Rand(ctx context.Context) io.Reader { return random{a, ctx} }

type random struct {
	applet *Applet
	ctx    context.Context
}

func (r random) Read(p []byte) (int, error) {
	if err := r.applet.fill(r.ctx, p); err != nil {
		return 0, err
	}
	return len(p), nil
}
