package idempotency

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

var (
	errAbandoned  = errors.New("idempotency: the request has ended in a panic")
	errStoodStill = fmt.Errorf("idempotency: the request stood still for %s in the middle of its transaction, which was undone", Patience)
	errTwice      = errors.New("idempotency: the transaction of a request cannot be run again")
)

// transaction is that of one request: it begins with the first update and ends with the request. While it
// is open the writer of the store waits for the request, which works in it from its own goroutine.
type transaction struct {
	ends    chan func(store.Tx) error // the last thing to do in it
	outcome chan error                // has room for the one that there is

	mu     sync.Mutex // held while something is done in it
	state  state
	tx     store.Tx
	failed error // the first failure of an update
	after  []func(context.Context) error
}

type state int

const (
	none  state = iota // there is no transaction yet
	open               // it is open
	over               // the request has ended
	spent              // the transaction has ended before the request
)

func newTransaction() *transaction {
	return &transaction{ends: make(chan func(store.Tx) error), outcome: make(chan error, 1)}
}

// update runs fn in the transaction, which it begins if there is none.
func (t *transaction) update(ctx context.Context, s store.Store, fn func(store.Tx) error) (err error) {
	t.mu.Lock()
	if t.state == over { // whoever still has the context has outlived the request
		t.mu.Unlock()
		return s.Update(ctx, fn)
	}
	defer t.mu.Unlock()
	switch t.state {
	case none:
		err = t.begin(ctx, s)
	case spent:
		err = errStoodStill
	}
	if err == nil {
		err = fn(t.tx)
	}
	if err != nil && t.failed == nil {
		t.failed = err
	}
	return err
}

// view runs fn in the transaction if there is one, and otherwise in a view of the store.
func (t *transaction) view(ctx context.Context, s store.Store, fn func(store.Tx) error) error {
	t.mu.Lock()
	if t.state == open {
		defer t.mu.Unlock()
		return fn(t.tx)
	}
	t.mu.Unlock()
	return s.View(ctx, fn)
}

// begin has the writer open a transaction and wait.
func (t *transaction) begin(ctx context.Context, s store.Store) error {
	begun := make(chan store.Tx)
	var again error // what the store is told if it runs the transaction again: what was done in it is lost
	go func() {
		t.outcome <- s.Update(ctx, func(tx store.Tx) error {
			if again != nil {
				return again
			}
			again = errTwice
			begun <- tx
			err := t.wait(tx)
			if err != nil {
				again = err
			}
			return err
		})
	}()
	select {
	case t.tx = <-begun:
		t.state = open
		return nil
	case err := <-t.outcome:
		return err
	}
}

// wait is what the writer does while the transaction is open.
func (t *transaction) wait(tx store.Tx) error {
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	select {
	case last := <-t.ends:
		return last(tx)
	case <-limit.C:
	}
	t.mu.Lock()
	if t.state == over {
		t.mu.Unlock()
		return (<-t.ends)(tx)
	}
	defer t.mu.Unlock()
	t.state = spent
	return errStoodStill
}

// end ends the transaction: with an error, or with one thing more to do in it. It returns what became of it.
func (t *transaction) end(ctx context.Context, s store.Store, err error, last func(store.Tx) error) error {
	t.mu.Lock()
	before := t.state
	t.state = over
	t.mu.Unlock()
	if err == nil && t.failed != nil { // part of it may be there already
		err = fmt.Errorf("idempotency: an update failed, and the request was answered all the same: %w", t.failed)
	}
	if err != nil {
		last = func(store.Tx) error { return err }
	}
	switch before {
	case open:
		t.ends <- last
	case none:
		if err != nil {
			return err
		}
		return s.Update(ctx, last)
	}
	return <-t.outcome
}

// After runs fn when the transaction of the request that the context is of has been committed: what a node does
// when it hears of a change, such as taking another key into use, is not to come before the change, and may
// take longer than a transaction. Without a transaction fn runs at once, and its error is returned; later there is
// nobody to be told, so that fn must be something that is also done again by itself.
func After(ctx context.Context, fn func(context.Context) error) error {
	if t, ok := ctx.Value(transactionKey{}).(*transaction); ok && t.later(fn) {
		return nil
	}
	return fn(ctx)
}

func (t *transaction) later(fn func(context.Context) error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state == open {
		t.after = append(t.after, fn)
	}
	return t.state == open
}

type transactionKey struct{}

// Joining is a store whose transactions join the one of the request that the context is of, if it is of one.
func Joining(s store.Store) store.Store { return joining{s} }

type joining struct{ store.Store }

// Update implements [store.Store].
func (j joining) Update(ctx context.Context, fn func(store.Tx) error) error {
	if t, ok := ctx.Value(transactionKey{}).(*transaction); ok {
		return t.update(ctx, j.Store, fn)
	}
	return j.Store.Update(ctx, fn)
}

// View implements [store.Store].
func (j joining) View(ctx context.Context, fn func(store.Tx) error) error {
	if t, ok := ctx.Value(transactionKey{}).(*transaction); ok {
		return t.view(ctx, j.Store, fn)
	}
	return j.Store.View(ctx, fn)
}
