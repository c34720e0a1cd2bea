package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/internal/platform/store"
)

// ErrDamaged: a file is no sound SQLite database.
var ErrDamaged = errors.New("the file is no sound database")

// Backup writes a copy of the database in file to out, which must not exist. It is the
// state after one of the commits, and is on disk when Backup returns. The platform may
// serve meanwhile, from whichever process.
func Backup(ctx context.Context, file, out string) (err error) {
	if _, err := os.Stat(file); err != nil {
		return err
	}
	if err := create(out); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(out)
		}
	}()
	db, err := plain(file, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	// An empty file may be vacuumed into, and keeps its mode.
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", out); err != nil {
		return fmt.Errorf("copy %s: %w", file, err)
	}
	if err := examine(ctx, out); err != nil {
		return err
	}
	return syncFile(out)
}

// Restore puts the database in from in the place of that in file, after it has brought its
// schema up to date and made a change in it. What was there is kept beside it, under the name
// that is returned, "" if there was nothing. No process may have the database open. Wherever
// Restore is cut, file is the one or the other.
func Restore(ctx context.Context, from, file string, change func(store.Tx) error) (kept string, err error) {
	if err := examine(ctx, from); err != nil {
		return "", err
	}
	lock, err := takeLock(file + ".lock")
	if err != nil {
		return "", err
	}
	defer lock.Close()
	fresh := file + ".restoring"
	for _, left := range []string{fresh, fresh + "-wal", fresh + "-shm"} { // by one that was cut
		if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	if err := copyFile(from, fresh); err != nil {
		return "", err
	}
	defer os.Remove(fresh) // fails once it is renamed
	if err := prepare(ctx, fresh, change); err != nil {
		return "", err
	}
	if kept, err = setAside(ctx, file); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, file); err != nil {
		return "", err
	}
	return kept, syncFile(filepath.Dir(file))
}

// prepare makes the change in a database that nobody uses yet, and leaves it without a log beside it.
func prepare(ctx context.Context, file string, change func(store.Tx) error) error {
	s, err := open(ctx, file)
	if err != nil {
		return err
	}
	if err := errors.Join(s.Update(ctx, change), s.Close()); err != nil {
		return err
	}
	return syncFile(file)
}

// setAside gives a database a second name, and leaves it without a log beside it: the log would be
// taken for that of the database that comes in its place.
func setAside(ctx context.Context, file string) (kept string, err error) {
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	kept = file + time.Now().UTC().Format(".before-restore-20060102T150405.000Z")
	// Closing the last connection brings the log into the file, unless that is damaged.
	if db, err := plain(file, "rw"); err == nil {
		db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)") //nolint:errcheck // it is seen by the log's being there
		db.Close()
	}
	if err := os.Link(file, kept); err != nil {
		return "", err
	}
	for _, side := range []string{"-wal", "-shm"} {
		if err := os.Rename(file+side, kept+side); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return kept, syncFile(filepath.Dir(file))
}

// plain opens a database as it is, without changing its mode.
func plain(file, mode string) (*sql.DB, error) {
	absolute, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	query := url.Values{"mode": {mode}, "_pragma": {"busy_timeout(10000)"}}
	source := url.URL{Scheme: "file", OmitHost: true, Path: absolute, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", source.String())
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// examine looks for damage in a database that nobody writes.
func examine(ctx context.Context, file string) error {
	if _, err := os.Stat(file); err != nil {
		return err
	}
	db, err := plain(file, "ro")
	if err != nil {
		return err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("%s: %w: %w", file, ErrDamaged, err)
	}
	if verdict != "ok" {
		return fmt.Errorf("%s: %w: %s", file, ErrDamaged, verdict)
	}
	var version sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version").Scan(&version); err != nil || version.Int64 < 1 {
		return fmt.Errorf("%s: %w of a platform (%v)", file, ErrDamaged, err)
	}
	return nil
}

// create makes an empty private file.
func create(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}

// syncFile brings a file, or the names in a folder, to the disk.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
