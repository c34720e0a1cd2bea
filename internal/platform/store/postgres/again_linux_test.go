package postgres_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/postgres"
)

// entry is a change with its event and its audit entry.
func entry(name string) func(store.Tx) error {
	return func(tx store.Tx) error {
		_, err1 := tx.AppendEvent(api.Event{Time: time.Now(), SIM: &api.SIM{ICCID: name}})
		_, err2 := tx.AppendAudit(api.AuditEntry{Time: time.Now(), Actor: "test", Action: "test", Subject: name})
		return errors.Join(err1, err2, tx.SetSetting(name, "1"))
	}
}

// Somebody else, a person with psql, holds rows in another order. The database ends the deadlock at the node's
// cost, and the node does it again; those who share the transaction see nothing of it.
func TestAfterADeadlockTheTransactionIsRunAgain(t *testing.T) {
	connection := cluster.Database(t)
	s := open(t, connection+"&deadlock_timeout=50") // so that it is the one that looks first
	defer s.Close()
	for _, name := range []string{"a", "b"} {
		if err := s.Update(t.Context(), setting(name)); err != nil {
			t.Fatal(err)
		}
	}
	person, err := pgx.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close(t.Context())
	other, err := person.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(t.Context(), "UPDATE settings SET value = 'person' WHERE name = 'b'"); err != nil {
		t.Fatal(err)
	}
	runs := 0
	holds, result := make(chan struct{}), make(chan []error, 1)
	go func() {
		result <- inGroup(t, s, entry("before"), func(tx store.Tx) error {
			runs++
			if err := tx.SetSetting("a", "node"); err != nil {
				return err
			}
			if _, err := tx.Setting("a"); err != nil { // so that the row is locked
				return err
			}
			if runs == 1 {
				close(holds)
			}
			return tx.SetSetting("b", "node")
		}, entry("after"))
	}()
	<-holds
	if _, err := other.Exec(t.Context(), "UPDATE settings SET value = 'person' WHERE name = 'a'"); err != nil {
		t.Fatalf("the other one was ended: %v", err)
	}
	if err := other.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-result...); err != nil || runs != 2 {
		t.Errorf("%v, after %d runs", err, runs)
	}
	once(t, s, map[string]bool{"before": true, "after": true})
	for _, name := range []string{"a", "b"} {
		err := s.View(t.Context(), func(tx store.Tx) error {
			value, err := tx.Setting(name)
			if value != "node" {
				t.Errorf("%s is of the %s", name, value)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// once checks that all that is named was done once, with its event and its audit entry, and that nothing
// else was; of what is not known (false) either is right.
func once(t *testing.T, s *postgres.Store, named map[string]bool) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) error {
		events, err1 := tx.Events(0, 1_000_000)
		entries, err2 := tx.Audit(0, 1_000_000)
		done, audited := map[string]int{}, map[string]int{}
		for i, e := range events {
			done[e.SIM.ICCID]++
			if e.Seq != int64(i+1) {
				t.Fatalf("event %d follows event %d", e.Seq, i)
			}
		}
		var head api.AuditHead
		for _, e := range entries {
			audited[e.Subject]++
			if err := head.Follow(e); err != nil {
				t.Fatal(err)
			}
		}
		for name, known := range named {
			_, err := tx.Setting(name)
			if n := done[name]; n > 1 || known && n == 0 || audited[name] != n || (err == nil) != (n == 1) {
				t.Errorf("%s (acknowledged: %v): %d events, %d audit entries, row: %v", name, known, n, audited[name], err)
			}
			delete(done, name)
		}
		for name := range done {
			t.Errorf("%s has failed, and was done", name)
		}
		return errors.Join(err1, err2)
	})
	if err != nil {
		t.Error(err)
	}
}

// Under writes at two nodes the server ends as in a crash and starts again, several times. What was acknowledged
// is there once, what has failed is not there, and the nodes go on by themselves.
func TestTheDatabaseRestartsUnderWrites(t *testing.T) {
	own := realparts.OwnCluster(t)
	connection := own.Database(t)
	const nodes, callers, restarts = 2, 8, 5
	named := map[string]bool{}
	var mu sync.Mutex
	var acknowledged, failed, unknown atomic.Int64
	var all []*postgres.Store
	var load sync.WaitGroup
	stop := make(chan struct{})
	for node := range nodes {
		s := open(t, connection)
		defer s.Close()
		all = append(all, s)
		for caller := range callers {
			load.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					name := fmt.Sprintf("%d-%d-%d", node, caller, n)
					switch err := s.Update(t.Context(), entry(name)); {
					case err == nil:
						acknowledged.Add(1)
						mu.Lock()
						named[name] = true
						mu.Unlock()
					case errors.Is(err, store.ErrUnknown):
						unknown.Add(1)
						mu.Lock()
						named[name] = false
						mu.Unlock()
					default:
						failed.Add(1)
					}
				}
			})
		}
	}
	more := func(what string) {
		t.Helper()
		before := acknowledged.Load()
		realparts.WaitFor(t, what, func() bool { return acknowledged.Load() > before+200 })
	}
	for n := range restarts {
		more("writes before restart " + strconv.Itoa(n))
		if err := errors.Join(own.Halt(), own.Start()); err != nil {
			t.Fatal(err)
		}
	}
	more("writes after the last restart")
	close(stop)
	load.Wait()
	t.Logf("%d acknowledged, %d failed, %d unknown", acknowledged.Load(), failed.Load(), unknown.Load())
	for _, s := range all {
		once(t, s, named)
	}
}
