package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/simroot/simroot/internal/platform/store"
)

// maxGroup bounds how many updates share one commit, and so how long the first of them
// waits for the last.
const maxGroup = 128

// update is a function that waits to be run.
type update struct {
	ctx  context.Context
	fn   func(store.Tx) error
	done chan error // has room for the one answer
	err  error
}

// Update implements [store.Store].
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	u := &update{ctx: ctx, fn: fn, done: make(chan error, 1)}
	select {
	case s.queue <- u:
		return <-u.done
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.closing:
		return store.ErrClosed
	}
}

// write is the writer: it takes what waits, until the store is closed.
func (s *Store) write(c *connection) {
	defer close(s.done)
	defer c.close()
	for {
		select {
		case first := <-s.queue:
			s.group(c, first)
		case <-s.closing:
			return
		}
	}
}

// group runs one transaction: the first update and all that are waiting behind it.
func (s *Store) group(c *connection, first *update) {
	members := []*update{first}
	wrote, err := s.runGroup(c, &members)
	if err != nil {
		// The commit, or the transaction as a whole, failed: nobody's change is there.
		err = fmt.Errorf("store: %w", errors.Join(err, c.rollback()))
	} else if wrote > 0 {
		s.head.set(wrote)
	}
	for _, u := range members {
		if u.err == nil {
			u.err = err
		}
		u.done <- u.err
	}
}

func (s *Store) runGroup(c *connection, members *[]*update) (wrote int64, err error) {
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	for next := (*members)[0]; next != nil; {
		var last int64
		if last, err = c.run(next); err != nil {
			return 0, err
		}
		wrote = max(wrote, last)
		if len(*members) == maxGroup {
			break
		}
		select {
		case next = <-s.queue:
			*members = append(*members, next)
		default:
			next = nil
		}
	}
	return wrote, c.exec("COMMIT")
}

// run carries out one update behind a savepoint. What the update's own function
// reports goes into u.err; an error that is returned ends the whole group.
func (c *connection) run(u *update) (wrote int64, err error) {
	if u.ctx.Err() != nil {
		u.err = context.Cause(u.ctx)
		return 0, nil
	}
	if err := c.exec("SAVEPOINT one"); err != nil {
		return 0, err
	}
	t := &tx{c: c}
	u.err = t.outcome(guarded(u.fn, t))
	if u.err != nil {
		if err := c.exec("ROLLBACK TO one"); err != nil {
			return 0, err
		}
		return 0, c.exec("RELEASE one")
	}
	return t.wrote, c.exec("RELEASE one")
}

// guarded turns a panic into an error, since others share the transaction.
func guarded(fn func(store.Tx) error, t *tx) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("store: an update panicked: %v\n%s", r, debug.Stack())
		}
	}()
	return fn(t)
}

// rollback ends a transaction if SQLite has not ended it already.
func (c *connection) rollback() error {
	err := c.exec("ROLLBACK")
	if err != nil && c.exec("BEGIN") == nil { // there was none left to end
		return c.exec("ROLLBACK")
	}
	return err
}

// head is the last event and who waits for the next one.
type head struct {
	mu      sync.Mutex
	seq     int64
	changed chan struct{} // nil: nobody waits
}

func (h *head) set(seq int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq = seq
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

// Head implements [store.Store].
func (s *Store) Head() (int64, <-chan struct{}) {
	s.head.mu.Lock()
	defer s.head.mu.Unlock()
	if s.head.changed == nil {
		s.head.changed = make(chan struct{})
	}
	return s.head.seq, s.head.changed
}
