package sqlite_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

func set(t testing.TB, s store.Store, name, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.SetSetting(name, value) }); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, s store.Store, name string) (value string) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) (err error) { value, err = tx.Setting(name); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return value
}

func restored(tx store.Tx) error { return tx.SetSetting("restored", "yes") }

// Each update sets two settings to the same value: a backup that holds one without the other is
// not the state after any commit.
func TestABackupOfABusyDatabaseIsTheStateAfterACommit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer s.Close()
	stop := make(chan struct{})
	var writers sync.WaitGroup
	writers.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			value := fmt.Sprint(n, strings.Repeat("x", 5000))
			err := s.Update(t.Context(), func(tx store.Tx) error {
				return errors.Join(tx.SetSetting("first", value), tx.SetSetting("second", value))
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer writers.Wait()
	defer close(stop)
	for n := range 5 {
		before := fmt.Sprint("acknowledged ", n)
		set(t, s, "before", before)
		other := t.TempDir()
		out := filepath.Join(other, "platform.db")
		if err := sqlite.Backup(t.Context(), filepath.Join(dir, "platform.db"), out); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		b := open(t, other)
		if get(t, b, "first") != get(t, b, "second") || get(t, b, "before") != before {
			t.Error("the backup is not the state after a commit, or misses one that was acknowledged before it")
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABackupGoesOverNoOtherFile(t *testing.T) {
	dir := t.TempDir()
	defer open(t, dir).Close()
	out := filepath.Join(dir, "out")
	if err := os.WriteFile(out, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Backup(t.Context(), filepath.Join(dir, "platform.db"), out); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(out); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
}

// backedUp makes a database with the value "old" and its backup, and changes the value to "new".
func backedUp(t *testing.T) (dir, backup string) {
	dir = t.TempDir()
	s := open(t, dir)
	set(t, s, "value", "old")
	backup = filepath.Join(t.TempDir(), "backup")
	if err := sqlite.Backup(t.Context(), filepath.Join(dir, "platform.db"), backup); err != nil {
		t.Fatal(err)
	}
	set(t, s, "value", "new")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, backup
}

func TestARestoredDatabaseIsTheBackupAndTheOneBeforeIsKept(t *testing.T) {
	dir, backup := backedUp(t)
	kept, err := sqlite.Restore(t.Context(), backup, filepath.Join(dir, "platform.db"), restored)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	if get(t, s, "value") != "old" || get(t, s, "restored") != "yes" {
		t.Errorf("value %q, restored %q", get(t, s, "value"), get(t, s, "restored"))
	}
	before := t.TempDir()
	if err := os.Rename(kept, filepath.Join(before, "platform.db")); err != nil {
		t.Fatal(err)
	}
	b := open(t, before)
	defer b.Close()
	if get(t, b, "value") != "new" {
		t.Error("the database before is not what was kept")
	}
}

func TestADatabaseInUseIsNotRestored(t *testing.T) {
	dir, backup := backedUp(t)
	s := open(t, dir)
	defer s.Close()
	if _, err := sqlite.Restore(t.Context(), backup, filepath.Join(dir, "platform.db"), restored); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	if get(t, s, "value") != "new" {
		t.Error("it was changed all the same")
	}
}

// Backups that are damaged, cut short, of something else, or whose change fails, change nothing.
func TestAnUnsoundBackupChangesNothing(t *testing.T) {
	dir, backup := backedUp(t)
	good, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(good)
	for i := 5000; i < len(damaged); i += 97 {
		damaged[i] ^= 0x55
	}
	for name, c := range map[string]struct {
		content []byte
		change  func(store.Tx) error
	}{
		"damaged":           {damaged, restored},
		"cut short":         {good[:len(good)/2], restored},
		"empty":             {nil, restored},
		"something else":    {bytes.Repeat([]byte("text "), 3000), restored},
		"its change fails":  {good, func(store.Tx) error { return errors.New("on purpose") }},
		"its change panics": {good, func(store.Tx) error { panic("on purpose") }},
	} {
		file := filepath.Join(t.TempDir(), "backup")
		if err := os.WriteFile(file, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Restore(t.Context(), file, filepath.Join(dir, "platform.db"), c.change); err == nil {
			t.Errorf("%s: restored", name)
		}
		s := open(t, dir)
		if get(t, s, "value") != "new" || get(t, s, "restored") != "" {
			t.Errorf("%s: the database has changed", name)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A database that is damaged is why one restores.
func TestADamagedDatabaseIsReplaced(t *testing.T) {
	dir, backup := backedUp(t)
	file := filepath.Join(dir, "platform.db")
	for _, name := range []string{file, file + "-wal"} {
		if err := os.WriteFile(name, bytes.Repeat([]byte("damage"), 2000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sqlite.Restore(t.Context(), backup, file, restored); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer s.Close()
	if get(t, s, "value") != "old" {
		t.Error("it is not the backup")
	}
}
