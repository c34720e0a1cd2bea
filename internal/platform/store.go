package platform

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/postgres"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

// idSetting names the setting that says whose rows a shared database holds.
const idSetting = "platform"

// Errors of a folder and a database that are not of one platform.
var (
	ErrOtherDatabase = errors.New("the database holds another platform, or none: give the folder and the database that belong together")
	ErrDatabaseTaken = errors.New("the database holds a platform already: to serve it from a further node, copy the folder of one of its nodes; if an initialisation was interrupted, give an empty database")
)

// openStore opens the database of an initialised folder. Keys that met another platform's rows
// would open none of them, and sign for the wrong CA.
func openStore(ctx context.Context, dir folder, o Options) (store.Store, error) {
	if o.Store == "" {
		if o.NodeAddress != "" {
			return nil, errors.New("several nodes need a PostgreSQL database: SQLite is for one process")
		}
		if _, err := os.Stat(dir.id()); err == nil {
			return nil, errors.New("the rows of this platform are in a PostgreSQL database: say where, as when it was initialised")
		}
		return sqlite.Open(ctx, dir.database())
	}
	id, err := os.ReadFile(dir.id())
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("the rows of this platform are in its folder, in SQLite: serve it without a PostgreSQL database")
	}
	if err != nil {
		return nil, err
	}
	rows, err := postgres.Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	var there string
	err = rows.View(ctx, func(tx store.Tx) (err error) {
		there, err = tx.Setting(idSetting)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && there != strings.TrimSpace(string(id)) {
		err = ErrOtherDatabase
	}
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	return rows, nil
}

// createStore makes the database of a new folder.
func createStore(ctx context.Context, dir folder, o Options) (store.Store, error) {
	if o.Store == "" {
		return sqlite.Open(ctx, dir.database())
	}
	rows, err := postgres.Open(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	id := rand.Text()
	err = rows.Update(ctx, func(tx store.Tx) error {
		if err := checkFree(tx); err != nil {
			return err
		}
		return tx.SetSetting(idSetting, id)
	})
	if err == nil {
		err = replace(dir.id(), []byte(id+"\n"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the platform's rows: %w", err), rows.Close())
	}
	return rows, nil
}

// checkFree tells whether a shared database has room for a platform.
func checkFree(tx store.Tx) error {
	_, err := tx.Setting(idSetting)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = ErrDatabaseTaken
	}
	return err
}

// checkStore finds out, before anything is made, whether [createStore] would succeed.
func checkStore(ctx context.Context, o Options) error {
	if o.Store == "" {
		return nil
	}
	rows, err := postgres.Open(ctx, o.Store)
	if err != nil {
		return err
	}
	return errors.Join(rows.View(ctx, checkFree), rows.Close())
}
