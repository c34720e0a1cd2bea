package laws

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/postgres"
)

// inPostgreSQL is a database of its own on a server of its own.
func inPostgreSQL(t *testing.T) database {
	cluster := realparts.OwnCluster(t)
	connection := cluster.Database(t)
	return database{
		connection: connection,
		open:       func(w *world) (store.Store, error) { return postgres.Open(w.t.Context(), connection) },
		content: func(w *world) map[string][]byte {
			all, database := tables(w.t, connection)
			for _, pattern := range []string{filepath.Join("base", database, "*"), filepath.Join("pg_wal", "*")} {
				files, err := filepath.Glob(filepath.Join(cluster.Data(), pattern))
				if err != nil || len(files) == 0 {
					w.t.Fatal(pattern, err)
				}
				content := []byte{} // in one: there are hundreds
				for _, file := range files {
					if info, err := os.Stat(file); err != nil || info.IsDir() {
						continue
					}
					one, err := os.ReadFile(file)
					if err != nil {
						w.t.Fatal(err)
					}
					content = append(content, bytes.TrimRight(one, "\x00")...)
				}
				all["the server's files "+pattern] = content
				if !bytes.Contains(content, []byte(secretMeter)) {
					w.t.Errorf("the server's files %s do not hold the number of a SIM: the test looks in the wrong place", pattern)
				}
			}
			return all
		},
		known: "the table sims",
	}
}

// tables are the rows of all tables as text, in which bytes are hexadecimal, after all that was changed went to its
// place on disk; and the number of the database.
func tables(t testing.TB, connection string) (all map[string][]byte, database string) {
	t.Helper()
	ctx := t.Context()
	c, err := pgx.Connect(ctx, connection)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	column := func(query string) (values []string) {
		rows, err := c.Query(ctx, query)
		if err != nil {
			t.Fatal(err)
		}
		if values, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		return values
	}
	all = map[string][]byte{}
	for _, table := range column("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'") {
		all["the table "+table] = []byte(strings.Join(column(fmt.Sprintf("SELECT t::text FROM %s t", pgx.Identifier{table}.Sanitize())), "\n"))
	}
	if len(all) < 10 {
		t.Errorf("only %d tables", len(all))
	}
	if _, err := c.Exec(ctx, "CHECKPOINT"); err != nil {
		t.Fatal(err)
	}
	return all, column("SELECT oid::text FROM pg_database WHERE datname = current_database()")[0]
}

// The same holds of a platform on PostgreSQL, of the rows of its tables and of the server's own files.
func TestNothingThatAPlatformOnPostgreSQLSaysOrKeepsHoldsASecret(t *testing.T) {
	nothingHoldsASecret(t, inPostgreSQL(t))
}
