package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/group"
	"github.com/simroot/simroot/internal/platform/store/rows"
)

// answerTime is how long the database may take for an answer. The server ends a statement
// before that (statementTimeout); this is for a server that is gone.
const answerTime = statementTimeout + 5*time.Second

// engine is one connection in a transaction. Statements that need no answer wait for the
// next one that does, and travel with it: what a transaction costs is its round trips.
type engine struct {
	conn    *pgx.Conn
	waiting []statement
	growth  rows.Growth
	answers int // so far

	// Of a transaction that updates share:
	shared    bool
	others    int   // how many of those that wait were left by the updates before this one
	savepoint bool  // there is one before what this update has changed
	spoiled   error // what was left by an update before this one has failed
}

// statement is one that waits.
type statement struct {
	query string
	args  []any
	must  bool // meet a row
}

var _ rows.Engine = (*engine)(nil)

// later has a statement wait for the next round trip.
func (e *engine) later(query string, args ...any) {
	e.waiting = append(e.waiting, statement{query: query, args: args})
}

// send sends what waits, and query behind it. The caller reads the answer of that and
// closes the results; those of the others are read here.
func (e *engine) send(query string, args []any) (_ pgx.BatchResults, done context.CancelFunc, err error) {
	if e.shared && !e.savepoint && (len(e.waiting) > e.others || query != "" && !reads(query)) {
		e.waiting = slices.Insert(e.waiting, e.others, statement{query: "SAVEPOINT one"})
		e.savepoint = true
	}
	batch, sent := &pgx.Batch{}, e.waiting
	for _, s := range sent {
		batch.Queue(s.query, s.args...)
	}
	others := e.others
	e.waiting, e.others = e.waiting[:0], 0
	if query != "" {
		batch.Queue(query, args...)
	}
	ctx, done := context.WithTimeout(context.Background(), answerTime)
	results := e.conn.SendBatch(ctx, batch)
	for i, s := range sent {
		tag, err := results.Exec()
		if err == nil && s.must && tag.RowsAffected() == 0 {
			err = store.ErrNotFound
		}
		if err != nil {
			results.Close()
			done()
			err = meaning(err)
			if i < others {
				e.spoiled = err
			}
			return nil, nil, &rows.Late{Err: err}
		}
		e.answers++
	}
	return results, done, nil
}

// reads tells whether a statement changes nothing.
func reads(query string) bool { return strings.HasPrefix(query, "SELECT") }

// flush sends what waits.
func (e *engine) flush() error {
	if len(e.waiting) == 0 {
		return nil
	}
	results, done, err := e.send("", nil)
	if err != nil {
		return err
	}
	defer done()
	return meaning(results.Close())
}

// Exec implements [rows.Engine].
func (e *engine) Exec(query string, args ...any) (int64, error) {
	return e.exec(numbered(query), args)
}

func (e *engine) exec(query string, args []any) (int64, error) {
	results, done, err := e.send(query, texts(args))
	if err != nil {
		return 0, err
	}
	defer done()
	tag, err := results.Exec()
	e.answers++
	return tag.RowsAffected(), meaning(errors.Join(err, results.Close()))
}

// Insert implements [rows.Engine]. A row that is there already must not spoil the
// transaction, as an error would.
func (e *engine) Insert(query string, args ...any) error {
	n, err := e.exec(careful(query), args)
	if err == nil && n == 0 {
		return store.ErrExists
	}
	return err
}

// Change implements [rows.Engine].
func (e *engine) Change(query string, args ...any) error {
	e.waiting = append(e.waiting, statement{query: numbered(query), args: texts(args), must: true})
	return nil
}

// Append implements [rows.Engine]. Rows of many updates become one statement.
func (e *engine) Append(query string, args ...any) error {
	if e.growth = e.growth.With(query, texts(args)); e.growth.Full() {
		e.grow()
	}
	return nil
}

// Appended implements [rows.Engine].
func (e *engine) Appended() error {
	e.grow()
	return nil
}

// grow has what was appended wait for the next round trip.
func (e *engine) grow() {
	for _, t := range e.growth {
		e.waiting = append(e.waiting, growing(t))
	}
	e.growth = nil
}

// Query implements [rows.Engine].
func (e *engine) Query(query string, args ...any) (rows.Result, error) {
	results, done, err := e.send(numbered(query), texts(args))
	if err != nil {
		return nil, err
	}
	found, err := results.Query()
	if err != nil {
		results.Close()
		done()
		return nil, meaning(err)
	}
	e.answers++
	return &result{found, results, done}, nil
}

// result is the rows of one query.
type result struct {
	pgx.Rows
	batch pgx.BatchResults
	done  context.CancelFunc
}

func (r *result) Err() error { return meaning(r.Rows.Err()) }

// Close may be called again.
func (r *result) Close() error {
	r.Rows.Close()
	defer r.done()
	return meaning(r.batch.Close())
}

// SQLSTATEs that mean something to the callers.
const (
	uniqueViolation      = "23505" // the row is there already
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
)

// meaning turns errors that have one into the sentinels of package store, or has the transaction run again.
func meaning(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case uniqueViolation:
		return store.ErrExists
	case serializationFailure, deadlockDetected:
		return fmt.Errorf("%w: %w", group.ErrAgain, err)
	}
	return err
}

// texts makes texts such as a PostgreSQL database can hold: valid UTF-8 without U+0000. It
// does so in keys and in what is looked for alike.
func texts(args []any) []any {
	for i, a := range args {
		if s, ok := a.(string); ok {
			args[i] = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
		}
	}
	return args
}
