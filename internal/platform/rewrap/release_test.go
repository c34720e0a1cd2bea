package rewrap_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/rewrap"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

// firstRelease is a database of the first release with its key-encryption key, brought up to date.
func firstRelease(t *testing.T) (store.Store, *envelope.FileKEK) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "platform.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"../store/sqlite/testdata/released/00001.sql", "testdata/first-release.sql"} {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(string(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	key, err := os.ReadFile("testdata/first-release.kek")
	if err != nil {
		t.Fatal(err)
	}
	private := filepath.Join(dir, "kek.key")
	if err := os.WriteFile(private, key, 0o600); err != nil {
		t.Fatal(err)
	}
	kek, err := envelope.OpenFileKEK(private, keyfile.Safe{})
	if err != nil {
		t.Fatal(err)
	}
	return s, kek
}

func TestSecretsOfTheFirstReleaseOpenAndMove(t *testing.T) {
	s, old := firstRelease(t)
	next := newKEK(t)
	e := envelope.New(next, old)
	names := []store.Envelope{
		{Kind: store.SIMEnvelope, Key: "89882110000000000001"},
		{Kind: store.SIMEnvelope, Key: "89882110000000000002"},
		{Kind: store.CredentialEnvelope, Key: "0003"},
	}
	stored := func(name store.Envelope) (sealed []byte) {
		t.Helper()
		if err := s.View(t.Context(), func(tx store.Tx) error {
			found, err := tx.EnvelopesNotUnder(name.Kind, [8]byte{}, "", 10)
			for _, f := range found {
				if f.Key == name.Key {
					sealed = f.Sealed
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	opens := func() {
		t.Helper()
		for _, name := range names {
			if got, err := e.Open(t.Context(), name.Record(), stored(name)); err != nil || string(got) != "secret of "+name.Record() {
				t.Errorf("%s: %q, %v", name.Record(), got, err)
			}
		}
	}
	count := func(want map[[8]byte]int) {
		t.Helper()
		if err := s.View(t.Context(), func(tx store.Tx) error {
			got, err := tx.CountEnvelopes()
			for id, n := range want {
				if got[id] != n || len(got) != len(want) {
					t.Errorf("secrets by key: %v, want %v", got, want)
				}
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	opens()
	count(map[[8]byte]int{{}: 3})

	stranger := envelope.New(newKEK(t))
	if _, err := stranger.Open(t.Context(), names[0].Record(), stored(names[0])); err == nil {
		t.Error("it opens without its key")
	}
	if _, err := e.Open(t.Context(), names[1].Record(), stored(names[0])); err == nil {
		t.Error("it opens for another record")
	}

	if done, err := rewrap.Run(t.Context(), s, e, quiet); err != nil || done != (rewrap.Result{Moved: 3}) {
		t.Fatalf("got %+v, %v", done, err)
	}
	e.Use(next) // the old key is no longer needed
	opens()
	count(map[[8]byte]int{next.ID(): 3})
}
