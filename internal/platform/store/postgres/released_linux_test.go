package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/storetest"
)

func TestADatabaseOfEachReleasedSchemaIsBroughtUpToDate(t *testing.T) {
	storetest.Released(t, func(t *testing.T, dump string) store.Store {
		connection := cluster.Database(t)
		conn, err := pgx.Connect(t.Context(), connection)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.PgConn().Exec(t.Context(), dump).ReadAll(); err != nil {
			t.Fatal(err)
		}
		return open(t, connection)
	})
}
