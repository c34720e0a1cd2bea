// Package group shares the price of a commit among the updates that wait for one.
//
// One goroutine writes. It takes all updates that wait, runs them inside one transaction, so that
// each can fail by itself, commits once, and then answers them all.
package group

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/simroot/simroot/internal/platform/store"
)

// ErrAgain is in errors of a transaction that was undone as a whole, and may succeed if it is run again: the
// database had to end a deadlock, or the connection was lost before the commit was sent.
var ErrAgain = errors.New("the transaction was undone by the database")

// ErrApart is in errors of a transaction that one of its updates has spoiled, it is not said which. The updates
// are run again, each in a transaction of its own, so that it hits nobody else.
var ErrApart = errors.New("the transaction was spoiled by one of its updates")

// maxRuns bounds how often a transaction is run.
const maxRuns = 3

// maxMembers bounds how many updates share one commit, and so how long the first of them
// waits for the last.
const maxMembers = 128

// Transaction is what a database has to offer. The writer calls it from one goroutine.
type Transaction interface {
	// Begin begins.
	Begin() error
	// Run runs fn, and undoes what it did if it fails. What fn reports is the
	// outcome; err means that the whole transaction is spoiled. A failure of what fn leaves to be
	// carried out may show later ([ErrApart]).
	Run(fn func(store.Tx) error) (outcome, err error)
	// Commit returns when everything is on disk, with the number of the last event.
	Commit() (head int64, err error)
	// Rollback ends a transaction that is spoiled. It must leave the connection usable, or
	// have Begin mend it.
	Rollback() error
	// Close lets go of the connection.
	Close() error
}

// Writer carries out updates. It is safe for concurrent use.
type Writer struct {
	tx      Transaction
	head    *Head
	queue   chan *update
	closing chan struct{}
	close   func() error
	done    chan struct{} // closed when the goroutine has ended
}

// update is a function that waits to be run.
type update struct {
	ctx  context.Context
	fn   func(store.Tx) error
	done chan error // has room for the one answer
	err  error
}

// NewWriter starts a writer that tells head of new events.
func NewWriter(tx Transaction, head *Head) *Writer {
	w := &Writer{tx: tx, head: head, queue: make(chan *update), closing: make(chan struct{}), done: make(chan struct{})}
	w.close = sync.OnceValue(func() error {
		close(w.closing)
		<-w.done
		return tx.Close()
	})
	go w.write()
	return w
}

// Close waits for the transaction that is running and ends the writer.
func (w *Writer) Close() error { return w.close() }

// Closing is closed when the writer is.
func (w *Writer) Closing() <-chan struct{} { return w.closing }

// Update is as [store.Store] has it.
func (w *Writer) Update(ctx context.Context, fn func(store.Tx) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case w.queue <- u:
		return <-u.done
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.closing:
		return store.ErrClosed
	}
}

// write takes what waits, until the writer is closed.
func (w *Writer) write() {
	defer close(w.done)
	for {
		select {
		case first := <-w.queue:
			w.group(first)
		case <-w.closing:
			return
		}
	}
}

// group runs one transaction: the first update and all that are waiting behind it.
func (w *Writer) group(first *update) {
	members := []*update{first}
	err := w.carryOut(&members, true)
	if errors.Is(err, ErrApart) && len(members) > 1 {
		for _, u := range members {
			alone := []*update{u}
			if err := w.carryOut(&alone, false); u.err == nil {
				u.err = err
			}
			u.done <- u.err
		}
		return
	}
	for _, u := range members {
		if u.err == nil {
			u.err = err
		}
		u.done <- u.err
	}
}

// carryOut runs a transaction, and again if it must. If it fails, nobody's change is there, or it is not known
// ([store.ErrUnknown]).
func (w *Writer) carryOut(members *[]*update, open bool) error {
	head, err := w.run(members, open)
	for runs := 1; errors.Is(err, ErrAgain) && runs < maxRuns; runs++ {
		if err = w.tx.Rollback(); err == nil {
			head, err = w.run(members, open)
		}
	}
	if err != nil {
		return fmt.Errorf("store: %w", errors.Join(err, w.tx.Rollback()))
	}
	w.head.Reach(head)
	return nil
}

// run runs a transaction: the members and, if it is open to them, those who come while it lasts.
func (w *Writer) run(members *[]*update, open bool) (head int64, err error) {
	for _, u := range *members {
		u.err = nil // of a run before
	}
	if err := w.tx.Begin(); err != nil {
		return 0, err
	}
	for i := 0; i < len(*members); i++ {
		next := (*members)[i]
		if next.ctx.Err() != nil {
			next.err = context.Cause(next.ctx)
		} else if next.err, err = w.tx.Run(guarded(next.fn)); err != nil {
			return 0, err
		} else if errors.Is(next.err, ErrAgain) {
			return 0, next.err
		}
		if !open || i+1 < len(*members) || i+1 == maxMembers {
			continue
		}
		select {
		case another := <-w.queue:
			*members = append(*members, another)
		default:
		}
	}
	return w.tx.Commit()
}

// guarded turns a panic into an error, since others share the transaction.
func guarded(fn func(store.Tx) error) func(store.Tx) error {
	return func(tx store.Tx) (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("store: an update panicked: %v\n%s", r, debug.Stack())
			}
		}()
		return fn(tx)
	}
}
