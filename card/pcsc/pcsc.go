// Package pcsc reaches cards in PC/SC readers: the scheme "pcsc:" of package card.
//
//	c, err := card.Open(ctx, "pcsc:")                   // the first reader with a card in it
//	c, err := card.Open(ctx, "pcsc:Virtual PCD 00 00")  // this reader
//	c, err := card.Open(ctx, "pcsc:Virtual")            // the one reader whose name begins so
//
// [Readers] lists what is there. A [Card] is shared with other programs; [Card.Lock]
// keeps them out for the length of a PC/SC transaction.
//
// The package loads libpcsclite.so.1 when it is first used and needs neither cgo nor
// headers to build. It works on Linux; elsewhere every call fails with [ErrUnsupported].
//
// It speaks to cards in T=0 and in T=1, whichever the card has, and shapes commands for
// it (ISO/IEC 7816-3, 12.2). It never follows 61xx or 6Cxx: that is [apdu.Exchange]'s.
package pcsc

import (
	"context"
	"fmt"
	"strings"

	"github.com/simroot/simroot/card"
)

func init() {
	card.Register("pcsc", func(ctx context.Context, reader string) (card.Conn, error) {
		c, err := Open(ctx, reader)
		if err != nil {
			return nil, err // not c: a nil *Card in a card.Conn is not a nil card.Conn
		}
		return c, nil
	})
}

// State is what is the matter with a reader.
type State string

// The states.
const (
	Empty     State = "empty"
	Present   State = "present"   // a card is in it, and it answered its reset
	InUse     State = "in use"    // as Present, and a program has opened it; it can be shared
	Exclusive State = "exclusive" // as Present, and a program has it for itself alone
	Mute      State = "mute"      // a card is in it that does not answer its reset
)

// Reader is a reader as PC/SC knows it.
type Reader struct {
	Name      string // as [Open] takes it
	State     State
	ATR       []byte // the card's answer to reset, at most 33 bytes; nil unless Ready
	Protocols []int  // that the ATR offers: 0 for T=0, 1 for T=1; nil unless Ready
}

// Ready tells whether a card is in the reader that answered its reset.
func (r Reader) Ready() bool { return r.State == Present || r.State == InUse || r.State == Exclusive }

// Readers lists the readers in the order of the service. Having none is not an error.
func Readers(ctx context.Context) ([]Reader, error) {
	return await(ctx, func() ([]Reader, error) {
		s, err := dial()
		if err != nil {
			return nil, err
		}
		defer s.release()
		return s.readers()
	}, func([]Reader) {})
}

// Open connects to the card in a reader. The empty name stands for the first reader with
// a card in it; any other is a reader's full name, or the beginning or a part of it that
// no other reader's name has.
//
// It fails with [ErrNoService], [ErrNoReader] or [ErrNoCard].
func Open(ctx context.Context, reader string) (*Card, error) {
	return await(ctx, func() (*Card, error) {
		s, err := dial()
		if err != nil {
			return nil, err
		}
		c, err := s.open(reader)
		if err != nil {
			s.release()
			return nil, err
		}
		return c, nil
	}, func(c *Card) { c.Close() })
}

// pick finds the reader that want means among readers (see [Open]).
func pick(readers []Reader, want string) (Reader, error) {
	if len(readers) == 0 {
		return Reader{}, fmt.Errorf("%w: plug one in", ErrNoReader)
	}
	if want == "" {
		for _, r := range readers {
			if r.Ready() {
				return r, nil
			}
		}
		return Reader{}, fmt.Errorf("%w: insert one; readers: %s", ErrNoCard, names(readers))
	}
	for _, matches := range []func(name string) bool{
		func(name string) bool { return name == want },
		func(name string) bool { return strings.HasPrefix(name, want) },
		func(name string) bool { return strings.Contains(name, want) },
	} {
		var found []Reader
		for _, r := range readers {
			if matches(r.Name) {
				found = append(found, r)
			}
		}
		switch {
		case len(found) > 1:
			return Reader{}, fmt.Errorf("%w of that name alone: %q could be %s: write more of the name", ErrNoReader, want, names(found))
		case len(found) == 1 && found[0].State == Mute:
			return Reader{}, fmt.Errorf("%w %q that answers: take it out and insert it the right way round", ErrNoCard, found[0].Name)
		case len(found) == 1 && !found[0].Ready():
			return Reader{}, fmt.Errorf("%w %q: insert one", ErrNoCard, found[0].Name)
		case len(found) == 1:
			return found[0], nil
		}
	}
	return Reader{}, fmt.Errorf("%w named %q: readers: %s", ErrNoReader, want, names(readers))
}

// names lists readers for a person.
func names(readers []Reader) string {
	quoted := make([]string, len(readers))
	for i, r := range readers {
		quoted[i] = fmt.Sprintf("%q", r.Name)
	}
	return strings.Join(quoted, ", ")
}

// await returns what call returns, or ctx's error if ctx ends first. PC/SC calls cannot be
// interrupted: an abandoned one goes on, and what it still obtains is given to discard.
func await[T any](ctx context.Context, call func() (T, error), discard func(T)) (T, error) {
	if ctx.Done() == nil {
		return call()
	}
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := call()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				discard(o.value)
			}
		}()
		var none T
		return none, ctx.Err()
	}
}
