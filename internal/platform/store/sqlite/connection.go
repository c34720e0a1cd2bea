package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/rows"
)

// connection is one connection to the file with its prepared statements. Statements run
// without a context: an interrupted one would make SQLite roll back everything that
// shares its transaction.
type connection struct {
	conn       *sql.Conn
	statements map[string]*sql.Stmt
	growth     rows.Growth
}

var _ rows.Engine = (*connection)(nil)

func connect(ctx context.Context, db *sql.DB) (*connection, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, statements: map[string]*sql.Stmt{}}, nil
}

func (c *connection) close() error {
	for _, s := range c.statements {
		s.Close()
	}
	return c.conn.Close()
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

func (c *connection) run(query string) error {
	_, err := c.Exec(query)
	return err
}

// Exec implements [rows.Engine].
func (c *connection) Exec(query string, args ...any) (int64, error) {
	s, err := c.prepared(query)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, meaning(err)
	}
	return r.RowsAffected()
}

// Insert implements [rows.Engine].
func (c *connection) Insert(query string, args ...any) error {
	_, err := c.Exec(query, args...)
	return err
}

// Change implements [rows.Engine].
func (c *connection) Change(query string, args ...any) error {
	n, err := c.Exec(query, args...)
	if err == nil && n == 0 {
		return store.ErrNotFound
	}
	return err
}

// Append implements [rows.Engine]. Rows of many updates become one statement.
func (c *connection) Append(query string, args ...any) error {
	if c.growth = c.growth.With(query, args); c.growth.Full() {
		return c.Appended()
	}
	return nil
}

// Appended implements [rows.Engine].
func (c *connection) Appended() error {
	for _, t := range c.growth {
		for left := t.Rows; len(left) > 0; {
			n := 1
			for n < maxRows && 2*n <= len(left) { // few different statements, which are kept
				n *= 2
			}
			if _, err := c.Exec(several(t.Insert, n), slices.Concat(left[:n]...)...); err != nil {
				return err
			}
			left = left[n:]
		}
	}
	c.growth = nil
	return nil
}

// maxRows is how many rows one statement makes.
const maxRows = 32

// several is an INSERT of several rows.
func several(insert string, n int) string {
	into, row, _ := strings.Cut(insert, " VALUES ")
	return into + " VALUES " + strings.Repeat(row+", ", n-1) + row
}

// Query implements [rows.Engine].
func (c *connection) Query(query string, args ...any) (rows.Result, error) {
	s, err := c.prepared(query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(context.Background(), args...)
}

// meaning turns errors that have one into the sentinels of package store.
func meaning(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && (e.Code() == lib.SQLITE_CONSTRAINT_UNIQUE || e.Code() == lib.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return store.ErrExists
	}
	return err
}
