package sqlite

import (
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/group"
	"github.com/simroot/simroot/internal/platform/store/rows"
)

// transaction is the writer's connection.
type transaction struct {
	*connection
	numbers rows.Numbers
}

var _ group.Transaction = (*transaction)(nil)

// Begin implements [group.Transaction].
func (t *transaction) Begin() (err error) {
	if err := t.run("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	t.numbers, err = rows.LastNumbers(t)
	return err
}

// Run implements [group.Transaction].
func (t *transaction) Run(fn func(store.Tx) error) (outcome, err error) {
	if err := t.run("SAVEPOINT one"); err != nil {
		return nil, err
	}
	tx, grown := rows.New(t, t.numbers), t.growth
	if outcome = tx.Outcome(fn(tx)); outcome != nil {
		t.growth = grown
		if err := t.run("ROLLBACK TO one"); err != nil {
			return outcome, err
		}
		return outcome, t.run("RELEASE one")
	}
	t.numbers = tx.Numbers()
	return nil, t.run("RELEASE one")
}

// Commit implements [group.Transaction].
func (t *transaction) Commit() (head int64, err error) {
	if err := t.Appended(); err != nil {
		return 0, err
	}
	return t.numbers.Event, t.run("COMMIT")
}

// Rollback implements [group.Transaction]. SQLite may have ended the transaction already.
func (t *transaction) Rollback() error {
	t.growth = nil
	err := t.run("ROLLBACK")
	if err != nil && t.run("BEGIN") == nil { // there was none left to end
		return t.run("ROLLBACK")
	}
	return err
}

// Close implements [group.Transaction].
func (t *transaction) Close() error { return t.close() }
