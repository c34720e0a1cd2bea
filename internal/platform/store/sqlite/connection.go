package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/simroot/simroot/internal/platform/store"
)

// connection is one connection to the file with its prepared statements. Statements run
// without a context: an interrupted one would make SQLite roll back everything that
// shares its transaction.
type connection struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
}

func connect(ctx context.Context, db *sql.DB) (*connection, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, statements: map[string]*sql.Stmt{}}, nil
}

func (c *connection) close() {
	for _, s := range c.statements {
		s.Close()
	}
	c.conn.Close()
}

// prepared returns a statement, which it prepares the first time. Queries are constants.
func (c *connection) prepared(query string) (*sql.Stmt, error) {
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	s, err := c.conn.PrepareContext(context.Background(), query)
	if err == nil {
		c.statements[query] = s
	}
	return s, err
}

func (c *connection) exec(query string, args ...any) error {
	s, err := c.prepared(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(context.Background(), args...)
	return err
}

// tx is a transaction, or the part of one that belongs to one update.
type tx struct {
	c     *connection
	wrote int64 // last event
	// failed is the first error that says more than that a row is or is not there.
	// SQLite may have rolled back by itself, so nothing may follow it.
	failed error
}

var _ store.Tx = (*tx)(nil)

// outcome is what becomes of a function that returned err.
func (t *tx) outcome(err error) error {
	if err == nil {
		return t.failed
	}
	return err
}

// note remembers an error that ends the transaction, and turns those with a meaning into
// the sentinels of package store.
func (t *tx) note(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code() == lib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return store.ErrExists
	}
	t.failed = fmt.Errorf("store: %w", err)
	return t.failed
}

func (t *tx) exec(query string, args ...any) (sql.Result, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	s, err := t.c.prepared(query)
	if err != nil {
		return nil, t.note(err)
	}
	r, err := s.ExecContext(context.Background(), args...)
	return r, t.note(err)
}

// change is exec of a statement that must meet a row.
func (t *tx) change(query string, args ...any) error {
	r, err := t.exec(query, args...)
	if err != nil {
		return err
	}
	n, err := r.RowsAffected()
	if err != nil {
		return t.note(err)
	}
	if n == 0 {
		return store.ErrNotFound
	}
	return nil
}

// insert is exec of a statement whose result does not matter.
func (t *tx) insert(query string, args ...any) error {
	_, err := t.exec(query, args...)
	return err
}

// one reads the one row of a query, or store.ErrNotFound.
func (t *tx) one(query string, args []any, into ...any) error {
	if t.failed != nil {
		return t.failed
	}
	s, err := t.c.prepared(query)
	if err != nil {
		return t.note(err)
	}
	return t.note(s.QueryRowContext(context.Background(), args...).Scan(into...))
}

// scanner is a row of a result.
type scanner interface{ Scan(into ...any) error }

// list reads all rows of a query.
func list[T any](t *tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	if t.failed != nil {
		return nil, t.failed
	}
	s, err := t.c.prepared(query)
	if err != nil {
		return nil, t.note(err)
	}
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return nil, t.note(err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, t.note(err)
		}
		all = append(all, row)
	}
	return all, t.note(rows.Err())
}

// single reads one row with the scan function of a list.
func single[T any](t *tx, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	var none T
	if t.failed != nil {
		return none, t.failed
	}
	s, err := t.c.prepared(query)
	if err != nil {
		return none, t.note(err)
	}
	row, err := scan(s.QueryRowContext(context.Background(), args...))
	if err != nil {
		return none, t.note(err)
	}
	return row, nil
}
