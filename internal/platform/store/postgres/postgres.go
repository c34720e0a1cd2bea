// Package postgres keeps the platform's rows in a PostgreSQL database (15 or later), for a
// platform of several nodes.
//
// Transactions that change something follow each other under one advisory lock, so that
// there is one order of commits for all nodes. Each node has one goroutine that
// writes, and shares the lock and the price of the disk among the updates that wait (package group).
// Readers work on snapshots and never wait for it. A commit announces its last event (NOTIFY);
// nodes that miss an announcement ask once a second.
//
// The database may go away and come back. A transaction that it had to undo (a deadlock, a lost connection) is
// run again. After a COMMIT whose answer was lost the database is asked what became of it, and if it does not tell, the
// answer is that it is not known: [store.ErrUnknown]. After any other error nothing has changed.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/group"
	"github.com/simroot/simroot/internal/platform/store/rows"
	"github.com/simroot/simroot/internal/platform/store/schema"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Limits that the server keeps for us.
const (
	statementTimeout = 30 * time.Second // of a statement, the wait for the writers' lock included
	idleTimeout      = 15 * time.Second // of a node that stands still in the middle of a transaction
	connectTimeout   = 5 * time.Second
	minVersion       = 15
)

// Store is a [store.Store] in a PostgreSQL database.
type Store struct {
	pool   *pgxpool.Pool
	writer *group.Writer
	head   group.Head
	close  func() error
	stop   context.CancelFunc // of the listener
	heard  sync.WaitGroup
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a database and brings its schema up to date. The connection
// string is a URL or words, as libpq has them; it may hold a password, and is in no error.
func Open(ctx context.Context, connection string) (*Store, error) {
	config, err := pgxpool.ParseConfig(connection)
	if err != nil { // its text may hold the string
		return nil, errors.New("store: the connection string of the database cannot be read: want postgres://USER@HOST/DATABASE?sslmode=verify-full, or words as libpq has them")
	}
	s, err := open(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("store: PostgreSQL, database %q: %w", config.ConnConfig.Database, err)
	}
	return s, nil
}

func open(ctx context.Context, config *pgxpool.Config) (_ *Store, err error) {
	limits(config)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	if err := check(ctx, pool); err != nil {
		return nil, err
	}
	if err := migrate(ctx, config.ConnConfig); err != nil {
		return nil, err
	}
	s := &Store{pool: pool}
	var seq int64
	if err := pool.QueryRow(ctx, "SELECT coalesce(max(seq), 0) FROM events").Scan(&seq); err != nil {
		return nil, err
	}
	s.head.Reach(seq)
	background, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.writer = group.NewWriter(&transaction{config: config.ConnConfig, closing: background}, &s.head)
	s.heard.Go(func() { (&listener{config.ConnConfig, &s.head}).run(background) })
	s.close = sync.OnceValue(s.shut)
	if err := s.Update(ctx, rows.ChainOldAudit); err != nil {
		s.writer.Close()
		stop()
		s.heard.Wait()
		return nil, err
	}
	return s, nil
}

// limits sets what the connection string leaves open.
func limits(config *pgxpool.Config) {
	c := config.ConnConfig
	c.RuntimeParams["application_name"] = "simroot"
	c.RuntimeParams["client_encoding"] = "UTF8"
	for name, limit := range map[string]time.Duration{
		"statement_timeout": statementTimeout, "idle_in_transaction_session_timeout": idleTimeout,
	} {
		if c.RuntimeParams[name] == "" {
			c.RuntimeParams[name] = fmt.Sprint(limit.Milliseconds())
		}
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = connectTimeout
	}
	c.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	}}).DialContext
	config.MaxConns = max(config.MaxConns, int32(4*runtime.GOMAXPROCS(0)))
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error { return synced(ctx, conn) }
}

// connect makes a connection outside of the pool.
func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := synced(ctx, conn); err != nil {
		conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// synced makes commits of a connection wait for the disk, if the database's settings say otherwise.
func synced(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	return err
}

// check refuses a database that cannot keep what was promised.
func check(ctx context.Context, pool *pgxpool.Pool) error {
	var version int
	var encoding, fsync string
	err := pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'), current_setting('fsync')").Scan(&version, &encoding, &fsync)
	switch {
	case err != nil:
		return err
	case version/10000 < minVersion:
		return fmt.Errorf("the server has version %d: want %d or later", version/10000, minVersion)
	case encoding != "UTF8":
		return fmt.Errorf("the database has encoding %s: create it with ENCODING 'UTF8'", encoding)
	case fsync != "on":
		return errors.New("the server runs with fsync = off and would forget what it has promised: turn it on")
	}
	return nil
}

// migrationLock is the advisory lock of who changes the schema: nodes may start together.
const migrationLock = writersLock + 1

func migrate(ctx context.Context, config *pgx.ConnConfig) error {
	config = config.Copy()
	delete(config.RuntimeParams, "statement_timeout") // an index over many rows takes its time
	db := stdlib.OpenDB(*config)
	defer db.Close()
	lock, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	scripts, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	return schema.Migrate(ctx, schema.PostgreSQL, db, scripts) // closing ends the lock
}

// View implements [store.Store]. While the database has not answered anything, it is waited for.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	deadline := time.Now().Add(patience)
	for {
		answered, err := s.view(ctx, fn)
		if err == nil || answered || !away(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.writer.Closing():
			return store.ErrClosed
		}
	}
}

func (s *Store) view(ctx context.Context, fn func(store.Tx) error) (answered bool, err error) {
	select {
	case <-s.writer.Closing():
		return true, store.ErrClosed
	default:
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return true, context.Cause(ctx)
		}
		return false, fmt.Errorf("store: %w", err)
	}
	// Deferred, so that a panic of fn does not keep it. One in a transaction is thrown away.
	defer conn.Release()
	e := &engine{conn: conn.Conn()}
	e.later("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	begin := len(e.waiting)
	tx := rows.New(e, rows.Numbers{})
	err = tx.Outcome(fn(tx))
	end := "COMMIT"
	switch {
	case err != nil && conn.Conn().IsClosed():
		return e.answers > 0, err
	case err != nil:
		e.waiting = e.waiting[:0]
		end = "ROLLBACK"
	case len(e.waiting) > begin || len(e.growth) > 0: // fn tries to change something
		e.grow()
		err = e.flush()
		end = "ROLLBACK"
	}
	if e.answers == 0 {
		return false, err
	}
	e.later(end)
	return true, errors.Join(err, e.flush())
}

// Update implements [store.Store].
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.writer.Update(ctx, fn)
}

// Head implements [store.Store].
func (s *Store) Head() (int64, <-chan struct{}) { return s.head.Head() }

// Close implements [store.Store].
func (s *Store) Close() error { return s.close() }

func (s *Store) shut() error {
	err := s.writer.Close()
	s.stop()
	s.heard.Wait()
	s.pool.Close()
	return err
}

// away tells whether an error says that the connection, or the server, is not there.
func away(err error) bool {
	var refused *pgconn.ConnectError
	var server *pgconn.PgError
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExists):
		return false
	case errors.As(err, &server):
		// 57P01 to 57P03: the server ends or begins; class 08: the connection; 25P03: this node stood still.
		return server.Code[:2] == "08" || server.Code[:3] == "57P" || server.Code == "25P03"
	case errors.As(err, &refused):
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || pgconn.SafeToRetry(err)
}
