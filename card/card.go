// Package card is the door to anything that answers APDUs: a reader, a modem, a virtual
// SIM, a recorded trace. They all are a [Card], an interface with one method, and
// they all are opened by URI:
//
//	c, err := card.Open(ctx, "pcsc:")         // the first reader with a card in it
//	c, err := card.Open(ctx, "vsim:sim1.sim") // a virtual SIM in this process
//	c, err := card.Open(ctx, "tcp:127.0.0.1:7000")
//
// The schemes are registered by the packages that implement them, as database/sql knows
// its drivers: import them for their side effect.
//
// The package itself never speaks to hardware and holds no word of any application.
package card

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/simroot/simroot/apdu"
)

// Card transmits one command APDU and returns the answer, status word included. An
// error means that the exchange itself failed; a refusal by the card is an answer.
// A Card is safe for concurrent use; each call is one undivided exchange.
type Card interface {
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
}

// Conn is a Card that somebody opened and has to close.
type Conn interface {
	Card
	io.Closer
}

// Locker is implemented by cards that other goroutines or processes may use at the same
// time. Between Lock and unlock nobody else's command reaches the card, so that a
// command and its GET RESPONSE stay together.
type Locker interface {
	Lock(ctx context.Context) (unlock func(), err error)
}

// Exchange sends one command on c and collects the whole answer, undisturbed by other
// users of the card (see [Locker] and [apdu.Exchange]).
func Exchange(ctx context.Context, c Card, command apdu.Command) (apdu.Response, error) {
	if l, ok := c.(Locker); ok {
		unlock, err := l.Lock(ctx)
		if err != nil {
			return apdu.Response{}, err
		}
		defer unlock()
	}
	return apdu.Exchange(ctx, c, command)
}

// Do is [Exchange] for callers to whom anything but success is an error.
func Do(ctx context.Context, c Card, command apdu.Command) ([]byte, error) {
	r, err := Exchange(ctx, c, command)
	if err != nil {
		return nil, err
	}
	return r.Data, r.SW.Err()
}

// Opener opens the card that the part of a URI behind its scheme names.
type Opener func(ctx context.Context, rest string) (Conn, error)

var (
	schemesMu sync.RWMutex
	schemes   = map[string]Opener{}
)

// Register makes a scheme known to [Open]. It is meant for init functions and panics if
// the scheme is taken.
func Register(scheme string, open Opener) {
	schemesMu.Lock()
	defer schemesMu.Unlock()
	if _, taken := schemes[scheme]; taken {
		panic("card: scheme " + scheme + " registered twice")
	}
	schemes[scheme] = open
}

// Schemes lists the registered schemes, sorted.
func Schemes() []string {
	schemesMu.RLock()
	defer schemesMu.RUnlock()
	names := make([]string, 0, len(schemes))
	for name := range schemes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open opens the card that uri names: "scheme:rest". What rest means is the scheme's
// own; see the package that registers it.
func Open(ctx context.Context, uri string) (Conn, error) {
	scheme, rest, found := strings.Cut(uri, ":")
	if !found || scheme == "" {
		return nil, fmt.Errorf("card %q has no scheme: want %s", uri, known())
	}
	schemesMu.RLock()
	open := schemes[scheme]
	schemesMu.RUnlock()
	if open == nil {
		return nil, fmt.Errorf("card %q: unknown scheme %q: want %s", uri, scheme, known())
	}
	c, err := open(ctx, rest)
	if err != nil {
		return nil, fmt.Errorf("open card %s: %w", uri, err)
	}
	return c, nil
}

func known() string {
	names := Schemes()
	for i := range names {
		names[i] += ":…"
	}
	if len(names) == 0 {
		return "a registered scheme (none is)"
	}
	return strings.Join(names, ", ")
}
