package audit_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite" // the file is edited by hand

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

// edited makes a log of ten entries whose head was kept, has the database edited behind the platform's back, and
// returns what the checks say: of the next entries, and of all.
func edited(t *testing.T, edit func(*sql.DB) error) (advance, verify error) {
	t.Helper()
	dir := t.TempDir()
	database, file := filepath.Join(dir, "platform.db"), filepath.Join(dir, "audit.head")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	open := func(work func(*audit.Log, *audit.Keeper)) {
		t.Helper()
		s, err := sqlite.Open(t.Context(), database)
		if err != nil {
			t.Fatal(err)
		}
		l := audit.New(s, nil)
		k, err := audit.OpenKeeper(l, file, key, func(head []byte) error { return os.WriteFile(file, head, 0o600) })
		if err != nil {
			t.Fatal(err)
		}
		work(l, k)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open(func(l *audit.Log, k *audit.Keeper) {
		for range 10 {
			if err := l.Record(context.Background(), api.AuditEntry{Actor: "me", Action: "test", Subject: "it", Note: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := k.Advance(context.Background()); err != nil || k.Head().Seq != 10 {
			t.Fatal(err, k.Head())
		}
	})
	db, err := sql.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(edit(db), db.Close()); err != nil {
		t.Fatal(err)
	}
	open(func(l *audit.Log, k *audit.Keeper) {
		if err := l.Record(context.Background(), api.AuditEntry{Actor: "me", Action: "test", Subject: "it"}); err != nil {
			t.Fatal(err)
		}
		_, verify = k.Verify(context.Background())
		advance = k.Advance(context.Background())
	})
	return advance, verify
}

func exec(statements ...string) func(*sql.DB) error {
	return func(db *sql.DB) error {
		for _, statement := range statements {
			if _, err := db.Exec(statement); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestAnUntouchedLogIsWhole(t *testing.T) {
	if advance, verify := edited(t, exec()); advance != nil || verify != nil {
		t.Error(advance, verify)
	}
}

func TestAnAlteredRemovedReorderedOrTruncatedEntryIsDetected(t *testing.T) {
	for name, edit := range map[string]func(*sql.DB) error{
		"altered":              exec("UPDATE audit SET note = 'b' WHERE seq = 4"),
		"hash altered":         exec("UPDATE audit SET hash = x'00' WHERE seq = 4"),
		"removed":              exec("DELETE FROM audit WHERE seq = 4"),
		"removed, closed up":   exec("DELETE FROM audit WHERE seq = 4", "UPDATE audit SET seq = -seq WHERE seq > 4", "UPDATE audit SET seq = -seq - 1 WHERE seq < 0"),
		"reordered":            exec("UPDATE audit SET seq = 99 WHERE seq = 4", "UPDATE audit SET seq = 4 WHERE seq = 5", "UPDATE audit SET seq = 5 WHERE seq = 99"),
		"truncated":            exec("DELETE FROM audit WHERE seq > 7"),
		"emptied":              exec("DELETE FROM audit"),
		"all hashes made anew": exec("UPDATE audit SET note = 'b' WHERE seq = 4", "UPDATE audit SET hash = x''"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, verify := edited(t, edit); !errors.Is(verify, api.ErrAuditBroken) {
				t.Errorf("the log was %s, and the check says %v", name, verify)
			}
		})
	}
}

// What lies before the head is not read again and again. But an entry that is missing at the end, or a chain that
// was computed anew, is seen at once.
func TestALogWithAnotherEndStopsTheHead(t *testing.T) {
	for name, edit := range map[string]func(*sql.DB) error{
		"truncated":            exec("DELETE FROM audit WHERE seq > 7"),
		"all hashes made anew": exec("UPDATE audit SET note = 'b' WHERE seq = 4", "UPDATE audit SET hash = x''"),
	} {
		if advance, _ := edited(t, edit); !errors.Is(advance, api.ErrAuditBroken) {
			t.Errorf("%s: the head goes on: %v", name, advance)
		}
	}
}

func TestAHeadThatSomebodyElseHasWrittenIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "platform.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "audit.head")
	if err := os.WriteFile(file, []byte(`{"seq":1,"time":"`+time.Now().UTC().Format(time.RFC3339)+`","hash":"0000000000000000000000000000000000000000000000000000000000000001"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.OpenKeeper(audit.New(s, nil), file, key, nil); !errors.Is(err, api.ErrAuditBroken) {
		t.Errorf("a head without a signature: %v", err)
	}
}

// BenchmarkHead is what a head costs beside the commit of an entry, both synced.
func BenchmarkHead(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(map[bool]string{false: "entry", true: "entry and head"}[with], func(b *testing.B) {
			dir := b.TempDir()
			s, err := sqlite.Open(b.Context(), filepath.Join(dir, "platform.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			l, file := audit.New(s, nil), filepath.Join(dir, "audit.head")
			k, err := audit.OpenKeeper(l, file, key, func(head []byte) error { return keyfile.Replace(file, head) })
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if err := l.Record(b.Context(), api.AuditEntry{Actor: "me", Action: "test"}); err != nil {
					b.Fatal(err)
				}
				if !with {
					continue
				}
				if err := k.Advance(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
