package rewrap_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/idempotency"
	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/rewrap"
	"github.com/simroot/simroot/internal/platform/store"
)

var quiet = slog.New(slog.DiscardHandler)

func newKEK(t *testing.T) *envelope.FileKEK {
	t.Helper()
	kek, err := envelope.CreateFileKEK(filepath.Join(t.TempDir(), "kek.key"), keyfile.Safe{})
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

// under counts the secrets by their key-encryption key.
func under(t *testing.T, w *fixture.World) map[[8]byte]int {
	t.Helper()
	var counts map[[8]byte]int
	if err := w.Store.View(t.Context(), func(tx store.Tx) (err error) {
		counts, err = tx.CountEnvelopes()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return counts
}

// A change of key under load: while the secrets move, SIMs are imported and provisioned with
// new secrets, and every secret can be opened at every moment. The runs are cut off again and
// again; the last one ends with everything under the new key.
func TestSecretsMoveUnderLoadHoweverOftenTheMoveIsCutOff(t *testing.T) {
	w := fixture.New(t)
	const sims = 1000
	iccids, err := w.Import(t.Context(), "locks", sims)
	if err != nil {
		t.Fatal(err)
	}
	old := w.Envelope.Current()
	next := newKEK(t)
	w.Envelope.Use(next, w.KEK)

	stop, load := make(chan struct{}), sync.WaitGroup{}
	load.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, _, keys, err := w.Registry.Admit(t.Context(), iccids[n*7%sims]); err != nil || !bytes.Equal(keys.ENC, fixture.Plain(iccids[n*7%sims]).ENC) {
				t.Errorf("SIM %s cannot be served: %v", iccids[n*7%sims], err)
				return
			}
			if n < 20 {
				if _, err := w.Import(t.Context(), "locks", 3); err != nil {
					t.Errorf("an import fails: %v", err)
				}
			}
		}
	})
	moved, cuts := 0, 0
	for done := false; !done; {
		ctx, cancel := context.WithCancel(t.Context())
		log := slog.New(slog.DiscardHandler)
		s := &cutting{Store: w.Store, after: 2, cancel: cancel}
		result, err := rewrap.Run(ctx, s, w.Envelope, log)
		cancel()
		moved += result.Moved
		switch {
		case err == nil:
			done = true
		case errors.Is(err, context.Canceled):
			cuts++
		default:
			t.Fatal(err)
		}
	}
	close(stop)
	load.Wait()
	if cuts < 2 || moved < sims {
		t.Errorf("%d secrets moved in %d runs that were cut off: want %d or more, and 2 or more", moved, cuts, sims)
	}
	counts := under(t, w)
	if counts[old] != 0 || counts[next.ID()] < sims {
		t.Errorf("%d secrets are under the old key and %d under the new", counts[old], counts[next.ID()])
	}
	w.Envelope.Use(next) // the old key is no longer needed
	for _, iccid := range iccids {
		if _, _, keys, err := w.Registry.Admit(t.Context(), iccid); err != nil || !bytes.Equal(keys.DEK, fixture.Plain(iccid).DEK) {
			t.Fatalf("SIM %s: %v", iccid, err)
		}
	}
}

// cutting ends a run after some of its transactions.
type cutting struct {
	store.Store
	after  int
	cancel func()
}

func (c *cutting) Update(ctx context.Context, fn func(store.Tx) error) error {
	err := c.Store.Update(ctx, fn)
	if c.after--; c.after == 0 {
		c.cancel()
	}
	return err
}

// Answers that are kept for repeated requests are secrets as others are: no request loses its answer to a change
// of key, nor does one keep an old key from being withdrawn.
func TestAKeptAnswerMovesToTheNewKey(t *testing.T) {
	w := fixture.New(t)
	ask := func() (text []byte, repeated bool) {
		t.Helper()
		text, repeated, err := idempotency.New(w.Store, w.Envelope, w.Now).Once(t.Context(), "me", "k", []byte("request"), func(context.Context) ([]byte, error) {
			return []byte("a token that is shown once"), nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return text, repeated
	}
	first, _ := ask()
	old, next := w.Envelope.Current(), newKEK(t)
	if n := under(t, w)[old]; n != 1 {
		t.Errorf("%d secrets are counted under the old key, want the answer", n)
	}
	w.Envelope.Use(next, w.KEK)
	if result, err := rewrap.Run(t.Context(), w.Store, w.Envelope, quiet); err != nil || result != (rewrap.Result{Moved: 1}) {
		t.Fatalf("got %+v, %v", result, err)
	}
	w.Envelope.Use(next) // the old key is withdrawn
	if again, repeated := ask(); !repeated || !bytes.Equal(again, first) {
		t.Errorf("answered %q, before %q, as a repetition: %v", again, first, repeated)
	}
	if counts := under(t, w); counts[old] != 0 || counts[next.ID()] != 1 {
		t.Errorf("counted: %v", counts)
	}
}

func TestASecretThatHasChangedMeanwhileIsLeftAlone(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	w.Envelope.Use(newKEK(t), w.KEK)
	fresh := []byte("\x02changed in between, which is newer")
	s := &interfering{Store: w.Store, then: func() {
		if err := w.Store.Update(t.Context(), func(tx store.Tx) error {
			found, err := tx.EnvelopesNotUnder(store.SIMEnvelope, [8]byte{}, "", 1)
			if err != nil {
				return err
			}
			return tx.ReplaceEnvelope(found[0], fresh)
		}); err != nil {
			t.Error(err)
		}
	}}
	if _, err := rewrap.Run(t.Context(), s, w.Envelope, quiet); err != nil {
		t.Fatal(err)
	}
	if err := w.Store.View(t.Context(), func(tx store.Tx) error {
		row, err := tx.SIM(iccid)
		if !bytes.Equal(row.Keys, fresh) {
			t.Error("a newer secret was overwritten")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// interfering does something between the first look and the change that follows.
type interfering struct {
	store.Store
	then func()
}

func (s *interfering) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.then != nil {
		s.then()
		s.then = nil
	}
	return s.Store.Update(ctx, fn)
}

func TestASecretThatCannotBeOpenedStaysAndIsCounted(t *testing.T) {
	w := fixture.New(t)
	w.SIM(t, "meters")
	old := w.Envelope.Current()
	w.Envelope.Use(newKEK(t)) // without the one that it is under
	result, err := rewrap.Run(t.Context(), w.Store, w.Envelope, quiet)
	if err != nil || result != (rewrap.Result{Failed: 1}) {
		t.Errorf("got %+v, %v", result, err)
	}
	if n := under(t, w)[old]; n != 1 {
		t.Errorf("%d secrets are under the old key", n)
	}
}
