package sqlite

import (
	"path/filepath"
	"testing"
)

// A test that kills the process cannot tell a synced commit from one that sits in the
// memory of the operating system, so the settings are asked for.
func TestEveryConnectionSyncsItsCommitsAndKeepsForeignKeys(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "a folder with ?% in its name.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := connect(t.Context(), s.db)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	for pragma, want := range map[string]string{
		"PRAGMA synchronous": "2", "PRAGMA journal_mode": "wal", "PRAGMA foreign_keys": "1", "PRAGMA busy_timeout": "10000",
	} {
		var got string
		if err := c.conn.QueryRowContext(t.Context(), pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", pragma, got, err, want)
		}
	}
}
