// Package schema brings a database's schema up to date, forwards only.
package schema

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

// The databases there are scripts for.
const (
	SQLite     = goose.DialectSQLite3
	PostgreSQL = goose.DialectPostgres
)

// Migrate applies the scripts that are missing, and refuses a schema that is newer than
// this program.
func Migrate(ctx context.Context, database goose.Dialect, db *sql.DB, scripts fs.FS) error {
	provider, err := goose.NewProvider(database, db, scripts, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	here, known, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if here > known {
		return fmt.Errorf("the schema has version %d, this program knows up to %d: use the newer program that wrote it", here, known)
	}
	_, err = provider.Up(ctx)
	return err
}
