package platform

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

// ErrOnPostgreSQL: the database is not in the folder, and is backed up by its own means.
var ErrOnPostgreSQL = errors.New("the platform's rows are in a PostgreSQL database: back it up with pg_dump, or by its log for any point in time (docs/platform/stores.md)")

// Backup writes a copy of the database of the platform in dir to file, which must not
// exist. The platform may be serving. The keys are not in it: they lie in the folders ca and keys,
// change seldom, and are to be kept elsewhere, since both together are the platform.
func Backup(ctx context.Context, dir, file string) error {
	if !Initialized(dir) {
		return fmt.Errorf("%s: %w", dir, ErrNoPlatform)
	}
	if _, err := os.Stat(folder(dir).id()); err == nil {
		return ErrOnPostgreSQL
	}
	if err := sqlite.Backup(ctx, folder(dir).database(), file); err != nil {
		return fmt.Errorf("back up the platform in %s: %w", dir, err)
	}
	return nil
}

// Restore puts a backup in the place of the database of the platform in dir, whose keys it leaves
// alone, and returns under which name it keeps the database that was there. The
// platform must not be running. On PostgreSQL pg_restore has brought the rows back already; file is "", and
// what is left to do is done.
//
// Time goes back, and the outside must notice. The feed gets a new identity, so that application servers fetch
// everything anew. The count of revocations jumps, so that a list which goes out now has a higher number than
// those before. What happened since the backup has not happened: credentials given since are unknown, and
// their SIMs get new ones at their next visit; revocations since must be made again.
func Restore(ctx context.Context, dir, file string, o Options) (kept string, err error) {
	o = o.withDefaults()
	if !Initialized(dir) {
		return "", fmt.Errorf("%s: %w; a backup holds no keys: bring the folders ca and keys, and ca.pem, back first", dir, ErrNoPlatform)
	}
	change := func(tx store.Tx) error { return turnBack(tx, o, file) }
	_, err = os.Stat(folder(dir).id())
	switch onPostgreSQL := err == nil; {
	case onPostgreSQL && file != "":
		return "", errors.New("the platform's rows are in a PostgreSQL database: bring them back with pg_restore, and then restore without a file (docs/platform/stores.md)")
	case onPostgreSQL:
		rows, err := openStore(ctx, folder(dir), o)
		if err != nil {
			return "", err
		}
		return "", errors.Join(rows.Update(ctx, change), rows.Close(), folder(dir).forgetHead())
	case file == "":
		return "", errors.New("which backup? The platform's rows are in its folder, in SQLite")
	}
	kept, err = sqlite.Restore(ctx, file, folder(dir).database(), change)
	if err != nil {
		return "", fmt.Errorf("restore the platform in %s: %w", dir, err)
	}
	return kept, folder(dir).forgetHead()
}

// forgetHead puts the head of the audit log aside, since entries have gone with the time.
func (f folder) forgetHead() error {
	err := os.Rename(f.auditHead(), f.auditHead()+".before-restore")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// revocationJump is more than the revocations that there may have been since any backup that is of use.
const revocationJump = 100_000_000

// turnBack marks rows as those of an earlier time.
func turnBack(tx store.Tx, o Options, file string) error {
	if err := feed.NewIdentity(tx); err != nil {
		return err
	}
	if err := tx.Refresh(o.Clock().UTC(), revocationJump); err != nil {
		return err
	}
	return audit.Append(tx, api.AuditEntry{Time: o.Clock().UTC(), Actor: audit.Platform, Action: "platform.restored", Note: file})
}
