package postgres_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// cutter stands between a store and its database. Armed, it ends the connection that speaks next:
// before what the store says has come through, or before the answer has.
type cutter struct {
	net.Listener
	socket string

	mu    sync.Mutex
	armed string // "request", "answer" or ""
}

// cut is a connection string that leads through a cutter.
func cut(t *testing.T, connection string) (*cutter, string) {
	t.Helper()
	u, err := url.Parse(connection)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, socket: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", c.socket)
			if err != nil {
				from.Close()
				continue
			}
			end := sync.OnceFunc(func() { from.Close(); to.Close() })
			open.Go(func() { defer end(); c.pass(from, to, "request") })
			open.Go(func() { defer end(); c.pass(to, from, "answer") })
		}
	})
	t.Cleanup(func() { l.Close(); open.Wait() })
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"
	return c, u.String()
}

func (c *cutter) pass(from io.Reader, to io.Writer, what string) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		c.mu.Lock()
		now := c.armed == what
		if now {
			c.armed = ""
		}
		c.mu.Unlock()
		if now {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (c *cutter) arm(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed = what
}

// The one moment at which a store cannot know by itself what became of a change.
func TestACommitThatIsCutOffIsAskedAfter(t *testing.T) {
	connection := cluster.Database(t)
	cutter, through := cut(t, connection)
	s := open(t, through)
	defer s.Close()
	events := 0
	for range 3 {
		// The uncut one prepares the statements of the connection that is cut next.
		for _, what := range []string{"", "request", "", "answer"} {
			runs := 0
			err := s.Update(t.Context(), func(tx store.Tx) error {
				if err := entry(strconv.Itoa(events))(tx); err != nil {
					return err
				}
				// What comes next is the commit.
				if _, err := tx.Setting("none"); !errors.Is(err, store.ErrNotFound) {
					return err
				}
				if runs++; runs == 1 {
					cutter.arm(what)
				}
				return nil
			})
			events++
			if again := what == "request"; err != nil || again != (runs == 2) {
				t.Errorf("cut before the %q: run %d times, %v", what, runs, err)
			}
			var there []api.Event
			if err := s.View(t.Context(), func(tx store.Tx) (err error) { there, err = tx.Events(0, 100); return err }); err != nil {
				t.Fatal(err)
			}
			if len(there) != events {
				t.Fatalf("cut before the %q: %d events are there, %d were acknowledged", what, len(there), events)
			}
		}
	}
	if head, _ := s.Head(); head != int64(events) {
		t.Errorf("the head is %d, want %d", head, events)
	}
}

// A change that leaves no trace in the audit log cannot be asked after.
func TestAnUnknownOutcomeIsSaidToBeUnknown(t *testing.T) {
	cutter, through := cut(t, cluster.Database(t))
	s := open(t, through)
	defer s.Close()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		err := tx.SetSetting("a", "1")
		if _, err := tx.Setting("none"); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		cutter.arm("answer")
		return err
	})
	if !errors.Is(err, store.ErrUnknown) {
		t.Errorf("the answer to the commit was lost: %v", err)
	}
	if err := s.Update(t.Context(), setting("b")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A node that stands still with the lock in its hand, its machine suspended for example, loses it, and
// its change; the others go on. When it wakes up it does it again.
func TestANodeThatStandsStillDoesNotHoldUpTheOthers(t *testing.T) {
	connection := cluster.Database(t)
	still := open(t, connection+"&idle_in_transaction_session_timeout=300")
	defer still.Close()
	other := open(t, connection)
	defer other.Close()
	holds, goOn, result := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	runs := 0
	go func() {
		result <- still.Update(t.Context(), func(tx store.Tx) error {
			runs++
			if _, err := tx.Setting("other"); runs == 1 != errors.Is(err, store.ErrNotFound) {
				t.Errorf("run %d: the other's change: %v", runs, err)
			}
			if err := entry("still")(tx); err != nil {
				return err
			}
			_, err := tx.Setting("still")
			if runs == 1 {
				close(holds)
				<-goOn
			}
			return err
		})
	}()
	<-holds
	if err := other.Update(t.Context(), setting("other")); err != nil {
		t.Errorf("the other node: %v", err)
	}
	err := other.View(t.Context(), func(tx store.Tx) error { _, err := tx.Setting("still"); return err })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the change of the node that stands still: %v, want none", err)
	}
	close(goOn)
	if err := <-result; err != nil || runs != 2 {
		t.Errorf("it does not find its way back: %v, after %d runs", err, runs)
	}
	if err := other.View(t.Context(), func(tx store.Tx) error { _, err := tx.Setting("still"); return err }); err != nil {
		t.Errorf("its change: %v", err)
	}
}
