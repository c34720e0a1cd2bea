// Package sqlite keeps the platform's rows in one SQLite file, for a platform on one
// machine.
//
// The file is in WAL mode with full synchronisation: a commit returns when it is on disk.
// One goroutine writes, and shares the price of the disk among the updates that wait
// (package group). Readers have connections of their own and never wait for it.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	_ "modernc.org/sqlite" // the driver

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/group"
	"github.com/simroot/simroot/internal/platform/store/rows"
	"github.com/simroot/simroot/internal/platform/store/schema"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Store is a [store.Store] in an SQLite file.
type Store struct {
	db      *sql.DB
	lock    *os.File
	readers chan *connection
	writer  *group.Writer
	close   func() error
	head    group.Head
}

var _ store.Store = (*Store)(nil)

// Open opens the store in a file, which it creates if there is none, and brings its
// schema up to date. A file that another process has open is refused.
func Open(ctx context.Context, file string) (*Store, error) {
	lock, err := takeLock(file + ".lock")
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s, err := open(ctx, file)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("store: %s: %w", file, err)
	}
	s.lock = lock
	return s, nil
}

func open(ctx context.Context, file string) (_ *Store, err error) {
	// SQLite would make the file readable to all.
	created, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := created.Close(); err != nil {
		return nil, err
	}
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	pragmas := url.Values{"_pragma": {
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)",
		"cache_size(-16384)", "temp_store(MEMORY)",
	}}
	source := url.URL{Scheme: "file", OmitHost: true, Path: absolute, RawQuery: pragmas.Encode()}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return nil, err
	}
	s := &Store{
		db:      db,
		readers: make(chan *connection, max(4, runtime.GOMAXPROCS(0))),
	}
	s.close = sync.OnceValue(s.shut)
	defer func() {
		if err != nil {
			s.closeConnections()
		}
	}()
	scripts, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := schema.Migrate(ctx, schema.SQLite, db, scripts); err != nil {
		return nil, err
	}
	for range cap(s.readers) {
		c, err := connect(ctx, db)
		if err != nil {
			return nil, err
		}
		s.readers <- c
		if err := c.run("PRAGMA query_only = ON"); err != nil {
			return nil, err
		}
	}
	w, err := connect(ctx, db)
	if err != nil {
		return nil, err
	}
	last, err := rows.LastNumbers(w)
	if err != nil {
		w.close()
		return nil, err
	}
	s.head.Reach(last.Event)
	s.writer = group.NewWriter(&transaction{connection: w}, &s.head)
	if err := s.Update(ctx, rows.ChainOldAudit); err != nil {
		return nil, errors.Join(err, s.writer.Close())
	}
	return s, nil
}

// View implements [store.Store].
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) (err error) {
	var c *connection
	select {
	case c = <-s.readers:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.writer.Closing():
		return store.ErrClosed
	}
	defer func() { s.readers <- c }()
	if err := c.run("BEGIN"); err != nil {
		return err
	}
	// Deferred, so that a panic of fn does not leave the connection in a transaction.
	defer func() { err = errors.Join(err, c.run("ROLLBACK")) }()
	tx := rows.New(c, rows.Numbers{})
	return tx.Outcome(fn(tx))
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
	for range cap(s.readers) { // wait for the readers
		(<-s.readers).close()
	}
	err = errors.Join(err, s.db.Close())
	if s.lock != nil { // a database that is being restored is under the lock of another
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

func (s *Store) closeConnections() {
	for {
		select {
		case c := <-s.readers:
			c.close()
		default:
			s.db.Close()
			return
		}
	}
}
