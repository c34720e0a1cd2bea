package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
	"github.com/simroot/simroot/internal/platform/store/storetest"
	"github.com/simroot/simroot/internal/victim"
)

func open(t testing.TB, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "platform.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSQLiteIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) store.Store { return open(t, dir) })
}

func TestASecondPlatformOnTheSameFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	defer open(t, dir).Close()
	if _, err := sqlite.Open(t.Context(), filepath.Join(dir, "platform.db")); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestTheFileIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	defer open(t, dir).Close()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %04o", file, info.Mode().Perm())
		}
	}
}

func TestASchemaFromTheFutureIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "platform.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), file); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("got %v", err)
	}
}

func TestMain(m *testing.M) { victim.Main(m, beVictim) }

// beVictim writes settings from several goroutines, and prints each one once it is acknowledged.
func beVictim(dir string, _ ...string) error {
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "platform.db"))
	if err != nil {
		return err
	}
	failed := make(chan error)
	var print sync.Mutex
	for worker := range 8 {
		go func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%d-%d", worker, n)
				err := s.Update(context.Background(), func(tx store.Tx) error {
					if _, err := tx.AppendEvent(api.Event{Time: time.Now(), SIM: &api.SIM{ICCID: name}}); err != nil {
						return err
					}
					return tx.SetSetting(name, "written")
				})
				if err != nil {
					failed <- err
					return
				}
				print.Lock()
				fmt.Println(name)
				print.Unlock()
			}
		}()
	}
	return <-failed
}

func TestWhatWasAcknowledgedSurvivesKill9(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		acknowledged := victim.KilledAfter(t, dir, 200+100*round)
		s := open(t, dir)
		err := s.View(t.Context(), func(tx store.Tx) error {
			for _, name := range acknowledged {
				if _, err := tx.Setting(name); err != nil {
					t.Errorf("%s was acknowledged: %v", name, err)
				}
			}
			for seq := int64(0); ; {
				events, err := tx.Events(seq, 1000)
				if err != nil || len(events) == 0 {
					return err
				}
				for _, e := range events {
					if seq++; e.Seq != seq {
						return fmt.Errorf("event %d follows event %d", e.Seq, seq-1)
					}
					if _, err := tx.Setting(e.SIM.ICCID); err != nil {
						return fmt.Errorf("event %d without its change: %w", seq, err)
					}
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	storetest.BenchmarkUpdate(b, func(b *testing.B) store.Store { return open(b, b.TempDir()) })
}

func BenchmarkView(b *testing.B) { storetest.BenchmarkView(b, open(b, b.TempDir())) }
