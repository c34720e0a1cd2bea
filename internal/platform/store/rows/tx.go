// Package rows says in SQL what package store asks of a transaction, once for all databases.
//
// The statements are what SQLite and PostgreSQL have in common. A parameter is ?, or ?N if
// it stands in several places; what is particular to a database is behind [Engine].
package rows

import (
	"errors"
	"fmt"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// Engine carries out the statements of one transaction. Queries are constants: an engine
// may keep what it has prepared for them. A text that a database cannot hold is up to the engine.
type Engine interface {
	// Insert makes one row. It fails with [store.ErrExists] if there is one with the same
	// key or in the same unique place, and the transaction goes on.
	Insert(query string, args ...any) error

	// Change must meet a row, or fails with [store.ErrNotFound]. An engine may keep the
	// statement back until the next one that has an answer, or the end of the transaction, and fail
	// there with [Late].
	Change(query string, args ...any) error

	// Append makes one row in a table that only grows and that no other statement of an update
	// reads. An engine may keep it back until [Engine.Appended] or the end of the transaction.
	Append(query string, args ...any) error

	// Appended has the next query find what was appended.
	Appended() error

	// Exec tells how many rows a statement has met.
	Exec(query string, args ...any) (int64, error)

	// Query begins to read rows, which must be closed before the next statement.
	Query(query string, args ...any) (Result, error)
}

// Late is the failure of a statement that an engine had kept back. It ends the transaction.
type Late struct{ Err error }

func (l *Late) Error() string { return l.Err.Error() }

// Unwrap returns what has failed.
func (l *Late) Unwrap() error { return l.Err }

// Result is the rows that a query finds.
type Result interface {
	Next() bool
	Scan(into ...any) error
	Err() error
	Close() error
}

// Numbers are the last numbers given to what is numbered without gaps, the hash of the last
// audit entry, and the step of the line of CAs.
type Numbers struct {
	Event, Audit int64
	AuditHash    api.AuditHash
	CAStep       int64
}

// Into is where the columns of [SelectNumbers] are read into.
func (n *Numbers) Into() []any { return []any{&n.Event, &n.Audit, chainHash{&n.AuditHash}, &n.CAStep} }

// Tx is a [store.Tx] over an engine.
type Tx struct {
	engine  Engine
	numbers Numbers
	// failed is the first error that says more than that a row is or is not there. The
	// database may have rolled back by itself, so nothing may follow it.
	failed error
	// revision is the one that this transaction has begun, zero if it has not.
	revision store.Revision
}

var _ store.Tx = (*Tx)(nil)

// New returns a transaction in which events and audit entries are numbered after the
// given ones. One that only reads has no use for them.
func New(e Engine, last Numbers) *Tx { return &Tx{engine: e, numbers: last} }

// SelectNumbers are the columns of [Numbers], for an engine that has more to ask.
const SelectNumbers = "(SELECT coalesce(max(seq), 0) FROM events), (SELECT coalesce(max(seq), 0) FROM audit), (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), (SELECT coalesce(max(step), 0) FROM cas)"

// LastNumbers reads the numbers that were given last.
func LastNumbers(e Engine) (n Numbers, err error) {
	return n, New(e, n).one("SELECT "+SelectNumbers, nil, n.Into()...)
}

// Numbers are the last numbers that this transaction has given, or was told.
func (t *Tx) Numbers() Numbers { return t.numbers }

// Outcome is what becomes of a function that returned err.
func (t *Tx) Outcome(err error) error {
	if err == nil {
		return t.failed
	}
	return err
}

// note remembers an error that ends the transaction.
func (t *Tx) note(err error) error {
	var late *Late
	if err == nil || !errors.As(err, &late) && (errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrExists)) {
		return err
	}
	t.failed = fmt.Errorf("store: %w", err)
	return t.failed
}

// exec tells how many rows a statement has met.
func (t *Tx) exec(query string, args ...any) (int64, error) {
	if t.failed != nil {
		return 0, t.failed
	}
	n, err := t.engine.Exec(query, args...)
	return n, t.note(err)
}

// change carries out a statement that must meet a row.
func (t *Tx) change(query string, args ...any) error {
	if t.failed != nil {
		return t.failed
	}
	return t.note(t.engine.Change(query, args...))
}

// append makes a row in a table that only grows.
func (t *Tx) append(query string, args ...any) error {
	if t.failed != nil {
		return t.failed
	}
	return t.note(t.engine.Append(query, args...))
}

// appended has the next query find what was appended.
func (t *Tx) appended() error {
	if t.failed != nil {
		return t.failed
	}
	return t.note(t.engine.Appended())
}

// insert makes a row, or fails with store.ErrExists.
func (t *Tx) insert(query string, args ...any) error {
	if t.failed != nil {
		return t.failed
	}
	return t.note(t.engine.Insert(query, args...))
}

// scanner is a row of a result.
type scanner interface{ Scan(into ...any) error }

// list reads all rows of a query.
func list[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	found, err := t.engine.Query(query, args...)
	if err != nil {
		return nil, t.note(err)
	}
	defer found.Close()
	var all []T
	for found.Next() {
		row, err := scan(found)
		if err != nil {
			return nil, t.note(err)
		}
		all = append(all, row)
	}
	return all, t.note(found.Err())
}

// single reads the first row of a query with the scan function of a list, or fails with store.ErrNotFound.
func single[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) (row T, err error) {
	if t.failed != nil {
		return row, t.failed
	}
	found, err := t.engine.Query(query, args...)
	if err != nil {
		return row, t.note(err)
	}
	defer found.Close()
	if !found.Next() {
		if err := found.Err(); err != nil {
			return row, t.note(err)
		}
		return row, store.ErrNotFound
	}
	if row, err = scan(found); err != nil {
		return row, t.note(err)
	}
	return row, t.note(found.Close())
}

// one reads the one row of a query, or store.ErrNotFound.
func (t *Tx) one(query string, args []any, into ...any) error {
	_, err := single(t, func(row scanner) (struct{}, error) { return struct{}{}, row.Scan(into...) }, query, args...)
	return err
}
