package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/storetest"
)

func TestADatabaseOfEachReleasedSchemaIsBroughtUpToDate(t *testing.T) {
	storetest.Released(t, func(t *testing.T, dump string) store.Store {
		dir := t.TempDir()
		db, err := sql.Open("sqlite", filepath.Join(dir, "platform.db"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(dump); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return open(t, dir)
	})
}
