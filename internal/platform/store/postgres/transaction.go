package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/group"
	"github.com/simroot/simroot/internal/platform/store/rows"
)

// writersLock is the advisory lock that makes transactions that change something follow
// each other, on however many nodes: the order of commits is the order in which they
// got the lock. They run at READ COMMITTED and take it first, so each statement sees all
// that was committed before; there is nothing that could fail to serialise.
const writersLock = 0x73696D726F6F74 // "simroot"

// patience is how long a database that is away is waited for.
const patience = 10 * time.Second

// transaction is the writer's connection.
type transaction struct {
	engine  // without a connection until Begin
	config  *pgx.ConnConfig
	closing context.Context

	numbers rows.Numbers
	before  rows.Numbers // those before this transaction
}

var _ group.Transaction = (*transaction)(nil)

// Begin implements [group.Transaction]. Nothing has been done yet, so that a connection
// that turns out to be dead is replaced.
func (t *transaction) Begin() error {
	deadline := time.Now().Add(patience)
	for {
		err := t.begin()
		if err == nil || !away(err) || time.Now().After(deadline) {
			return err
		}
		t.disconnect()
		select {
		case <-time.After(100 * time.Millisecond):
		case <-t.closing.Done():
			return err
		}
	}
}

func (t *transaction) begin() (err error) {
	if t.conn == nil || t.conn.IsClosed() {
		if t.conn, err = connect(t.closing, t.config); err != nil {
			return err
		}
	}
	t.engine = engine{conn: t.conn, shared: true}
	t.later("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	t.later("SELECT pg_advisory_xact_lock($1)", int64(writersLock))
	t.others = len(t.waiting)
	found, err := t.Query("SELECT " + rows.SelectNumbers)
	if err != nil {
		return err
	}
	if !found.Next() {
		return errors.Join(found.Err(), found.Close())
	}
	err = errors.Join(found.Scan(t.numbers.Into()...), found.Close())
	t.before = t.numbers
	return err
}

// Run implements [group.Transaction]. What fn changes last waits for the first question of the next one, or the
// commit; only if fn asks something after it has changed something is there a savepoint before that.
func (t *transaction) Run(fn func(store.Tx) error) (outcome, err error) {
	t.others = len(t.waiting)
	grown := t.growth
	tx := rows.New(t, t.numbers)
	outcome = tx.Outcome(fn(tx))
	switch {
	case t.conn.IsClosed():
		return outcome, fmt.Errorf("%w: the connection was lost: %w", group.ErrAgain, outcome)
	case t.spoiled != nil:
		return outcome, fmt.Errorf("%w: %w", again(t.spoiled), t.spoiled)
	case outcome == nil:
		t.numbers = tx.Numbers()
	default:
		t.waiting, t.growth = t.waiting[:t.others], grown
		if !t.savepoint && t.conn.PgConn().TxStatus() == 'E' { // it was a question that failed
			return outcome, fmt.Errorf("%w: %w", again(outcome), outcome)
		}
		if t.savepoint {
			t.later("ROLLBACK TO SAVEPOINT one")
		}
	}
	if t.savepoint {
		t.later("RELEASE SAVEPOINT one")
		t.savepoint = false
	}
	return outcome, nil
}

// again is how the updates of a transaction that has failed are run again.
func again(err error) error {
	if errors.Is(err, group.ErrAgain) {
		return group.ErrAgain
	}
	return group.ErrApart
}

// Commit implements [group.Transaction].
func (t *transaction) Commit() (head int64, err error) {
	head = t.numbers.Event
	t.others = len(t.waiting)
	if slices.ContainsFunc(t.waiting, func(s statement) bool { return s.must }) { // the commit would not wait for their rows
		if err := t.flush(); t.conn.IsClosed() {
			return head, fmt.Errorf("%w: the connection was lost: %w", group.ErrAgain, err)
		} else if err != nil {
			return head, fmt.Errorf("%w: %w", again(err), err)
		}
	}
	t.grow()
	if head > t.before.Event {
		t.later("SELECT pg_notify($1, $2)", channel, fmt.Sprint(head))
	}
	t.others = len(t.waiting)
	t.savepoint = true // none is needed
	results, done, err := t.send("COMMIT", nil)
	if err == nil {
		defer done()
		tag, execErr := results.Exec()
		err = errors.Join(execErr, results.Close())
		if err == nil && tag.String() != "COMMIT" {
			err = fmt.Errorf("the database answered %s to COMMIT", tag)
		}
	}
	switch {
	case err != nil && t.conn.IsClosed():
		return head, t.settle(err)
	case t.spoiled != nil:
		return head, fmt.Errorf("%w: %w", again(err), err)
	}
	return head, err
}

// settle finds out what became of a transaction whose COMMIT was sent and not answered: its last audit
// entry, whose hash is that of no other, is there or it is not. (The transaction's own number would say nothing: a
// server that has crashed gives it to another.) Of a transaction without one it is not known.
func (t *transaction) settle(lost error) error {
	ctx, cancel := context.WithTimeout(context.Background(), idleTimeout+patience)
	defer cancel()
	for t.numbers.Audit > t.before.Audit && ctx.Err() == nil {
		there, err := t.there(ctx)
		switch {
		case err == nil && there:
			return nil
		case err == nil:
			return fmt.Errorf("%w: %w", group.ErrAgain, lost)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return fmt.Errorf("%w: %w", store.ErrUnknown, lost)
}

// there tells whether the transaction's last audit entry is in the database. A server that does not know yet
// that the connection is gone may still be about to commit, and holds the lock until it has.
func (t *transaction) there(ctx context.Context) (there bool, err error) {
	t.disconnect()
	if t.conn, err = connect(ctx, t.config); err != nil {
		return false, err
	}
	tx, err := t.conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // nothing was changed
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(writersLock)); err != nil {
		return false, err
	}
	return there, tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM audit WHERE seq = $1 AND hash = $2)", t.numbers.Audit, t.numbers.AuditHash[:]).Scan(&there)
}

// Rollback implements [group.Transaction]. The server rolls back what loses its connection.
func (t *transaction) Rollback() error {
	t.disconnect()
	return nil
}

func (t *transaction) disconnect() {
	if t.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		t.conn.Close(ctx)
		t.conn = nil
	}
}

// Close implements [group.Transaction].
func (t *transaction) Close() error {
	t.disconnect()
	return nil
}
