package postgres_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/internal/platform/store/storetest"
)

func TestADatabaseOfEachReleasedSchemaIsBroughtUpToDate(t *testing.T) {
	dumps, err := filepath.Glob("testdata/released/*.sql")
	if err != nil || len(dumps) == 0 {
		t.Fatal(dumps, err)
	}
	for _, dump := range dumps {
		t.Run(filepath.Base(dump), func(t *testing.T) {
			script, err := os.ReadFile(dump)
			if err != nil {
				t.Fatal(err)
			}
			connection := cluster.Database(t)
			conn, err := pgx.Connect(t.Context(), connection)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context())
			if _, err := conn.PgConn().Exec(t.Context(), string(script)).ReadAll(); err != nil {
				t.Fatal(err)
			}
			s := open(t, connection)
			defer s.Close()
			storetest.Released(t, s)
		})
	}
}
