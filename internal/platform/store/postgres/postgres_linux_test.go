package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/postgres"
	"github.com/simroot/simroot/internal/platform/store/storetest"
)

// cluster is shared by all tests: each has a database of its own.
var cluster *realparts.Cluster

func TestMain(m *testing.M) {
	var err error
	if cluster, err = realparts.StartCluster(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func open(t testing.TB, connection string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), connection)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A database stands for a folder of a test.
func TestPostgreSQLIsAStore(t *testing.T) {
	databases := map[string]string{}
	storetest.Run(t, func(t *testing.T, dir string) store.Store {
		if databases[dir] == "" {
			databases[dir] = cluster.Database(t)
		}
		return open(t, databases[dir])
	})
}

// inGroup runs updates that share one commit, and returns what became of each.
func inGroup(t *testing.T, s *postgres.Store, updates ...func(store.Tx) error) []error {
	t.Helper()
	running, gate := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(running); <-gate })
	results := make([]error, len(updates))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Update(t.Context(), func(store.Tx) error { first(); return nil }); err != nil {
			t.Error(err)
		}
	})
	<-running
	for i, fn := range updates {
		wg.Go(func() { results[i] = s.Update(t.Context(), fn) })
	}
	close(gate)
	wg.Wait()
	return results
}

func setting(name string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.SetSetting(name, "1") }
}

// Statements that need no answer travel with the next one: their failure must hit the update that
// they belong to, and no other in the group, and must not be taken for the failure of the other statement.
func TestAStatementThatFailsLateFailsItsOwnUpdateOnly(t *testing.T) {
	s := open(t, cluster.Database(t))
	defer s.Close()
	missing := store.SIM{SIM: api.SIM{ICCID: "none"}}
	results := inGroup(t, s,
		setting("a"),
		func(tx store.Tx) error { return tx.UpdateSIM(missing) },
		setting("b"),
		func(tx store.Tx) error {
			err := tx.UpdateSIM(missing)
			if _, err := tx.Setting("a"); err == nil {
				t.Error("a query after a late failure gives an answer")
			}
			return err
		},
		setting("c"),
	)
	for i, err := range results {
		if late := i%2 == 1; late != errors.Is(err, store.ErrNotFound) || !late && err != nil {
			t.Errorf("update %d: %v", i, err)
		}
	}
	err := s.View(t.Context(), func(tx store.Tx) error {
		for _, name := range []string{"a", "b", "c"} {
			if _, err := tx.Setting(name); err != nil {
				t.Errorf("setting %s: %v", name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// PostgreSQL takes nothing more in a transaction once it has refused to answer a question.
func TestAQuestionThatIsRefusedFailsItsOwnUpdateOnly(t *testing.T) {
	s := open(t, cluster.Database(t))
	defer s.Close()
	refused := func(change bool) func(store.Tx) error {
		return func(tx store.Tx) error {
			if change {
				if err := tx.SetSetting("refused", "1"); err != nil {
					return err
				}
			}
			_, err := tx.Events(0, -1)
			return err
		}
	}
	results := inGroup(t, s, setting("a"), refused(false), setting("b"), refused(true), setting("c"))
	for i, err := range results {
		if own := i%2 == 1; own != (err != nil) {
			t.Errorf("update %d: %v", i, err)
		}
	}
	err := s.View(t.Context(), func(tx store.Tx) error {
		for name, want := range map[string]bool{"a": true, "b": true, "c": true, "refused": false} {
			if _, err := tx.Setting(name); want != (err == nil) {
				t.Errorf("setting %s: %v", name, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Every update says on the feed the number that it believes to be the next one, on whichever node
// it runs: numbers without a gap or a double show that all nodes take turns.
func TestNodesShareOneOrderOfCommits(t *testing.T) {
	connection := cluster.Database(t)
	const nodes, callers, each = 3, 4, 25
	var all []*postgres.Store
	for range nodes {
		s := open(t, connection)
		defer s.Close()
		all = append(all, s)
	}
	var wg sync.WaitGroup
	for _, s := range all {
		for range callers {
			wg.Go(func() {
				for range each {
					err := s.Update(t.Context(), func(tx store.Tx) error {
						last, err := tx.Setting("last")
						if err != nil && !errors.Is(err, store.ErrNotFound) {
							return err
						}
						n, _ := strconv.Atoi(last)
						sim := api.SIM{ICCID: strconv.Itoa(n + 1)}
						_, err = tx.AppendEvent(api.Event{Time: time.Now(), SIM: &sim})
						return errors.Join(err, tx.SetSetting("last", sim.ICCID))
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	wg.Wait()
	const total = nodes * callers * each
	for i, s := range all {
		for head, changed := s.Head(); head < total; head, changed = s.Head() {
			select {
			case <-changed:
			case <-time.After(realparts.Patience):
				t.Fatalf("node %d has heard of %d events, not of %d", i, head, total)
			}
		}
		err := s.View(t.Context(), func(tx store.Tx) error {
			events, err := tx.Events(0, 2*total)
			if len(events) != total {
				t.Errorf("%d events, want %d", len(events), total)
			}
			for i, e := range events {
				if e.Seq != int64(i+1) || e.SIM.ICCID != strconv.Itoa(i+1) {
					t.Fatalf("event %d has number %d and was counted as %s", i+1, e.Seq, e.SIM.ICCID)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// A server that ends as in a crash keeps what it has acknowledged; the store finds its way back to
// it, and hears of other nodes' events as before.
func TestADatabaseMayGoAwayAndComeBack(t *testing.T) {
	own := realparts.OwnCluster(t)
	connection := own.Database(t)
	s, other := open(t, connection), open(t, connection)
	defer s.Close()
	defer other.Close()
	event := func(s *postgres.Store) error {
		return s.Update(t.Context(), func(tx store.Tx) error {
			_, err := tx.AppendEvent(api.Event{Time: time.Now(), SIM: &api.SIM{ICCID: "1"}})
			return err
		})
	}
	const rounds = 3
	for round := range rounds {
		if err := event(s); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := errors.Join(own.Halt(), own.Start()); err != nil {
			t.Fatal(err)
		}
		if err := event(other); err != nil {
			t.Fatalf("round %d, after the server came back: %v", round, err)
		}
		var events []api.Event
		if err := s.View(t.Context(), func(tx store.Tx) (err error) { events, err = tx.Events(0, 100); return err }); err != nil {
			t.Fatal(err)
		}
		if want := 2 * (round + 1); len(events) != want {
			t.Fatalf("round %d: %d events, want %d", round, len(events), want)
		}
	}
	for _, s := range []*postgres.Store{s, other} {
		realparts.WaitFor(t, "both nodes to hear of the last event", func() bool { head, _ := s.Head(); return head == 2*rounds })
	}
}

func TestAConnectionStringIsInNoError(t *testing.T) {
	for _, connection := range []string{
		"postgres://me:hunter2@/nowhere?host=/does/not/exist&connect_timeout=1",
		"postgres://me:hunter2@[::1/x", "password=hunter2 port=none", "password='hunter2",
	} {
		_, err := postgres.Open(t.Context(), connection)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	}
}

func TestASchemaFromTheFutureIsRefused(t *testing.T) {
	connection := cluster.Database(t)
	open(t, connection).Close()
	conn, err := pgx.Connect(t.Context(), connection)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), connection); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("got %v", err)
	}
}

// Nodes that start together do not get into each other's way with the schema.
func TestNodesMayStartTogetherOnAnEmptyDatabase(t *testing.T) {
	connection := cluster.Database(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			s, err := postgres.Open(t.Context(), connection)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		})
	}
	wg.Wait()
}

// What only SQLite could hold is stored as PostgreSQL can, and found again.
func TestTextsOfOutsidersCannotUpsetTheDatabase(t *testing.T) {
	s := open(t, cluster.Database(t))
	defer s.Close()
	for _, text := range []string{"a\x00b", "\xFF\xFE", "ümlaut"} {
		if err := s.Update(t.Context(), setting(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if err := s.View(t.Context(), func(tx store.Tx) error { _, err := tx.Setting(text); return err }); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	storetest.BenchmarkUpdate(b, func(b *testing.B) store.Store { return open(b, cluster.Database(b)) })
}

func BenchmarkView(b *testing.B) { storetest.BenchmarkView(b, open(b, cluster.Database(b))) }
