package idempotency_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/idempotency"
	"github.com/simroot/simroot/internal/platform/store"
)

var errCut = errors.New("the node was cut off")

// cutting is a store that is cut off at a point of its next update.
type cutting struct {
	store.Store
	at string
}

func (c *cutting) Update(ctx context.Context, fn func(store.Tx) error) error {
	at := c.at
	c.at = ""
	switch at {
	case "before the transaction":
		return errCut
	case "before its commit":
		return c.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), errCut) })
	case "after its commit":
		return errors.Join(c.Store.Update(ctx, fn), errCut)
	}
	return c.Store.Update(ctx, fn)
}

// At whatever point a request is cut off, its repetition at another node finds it done, with the answer that was
// made then, or not begun, and does it.
func TestACutAtAnyPointLosesNoAnswerAndDoesNothingTwice(t *testing.T) {
	for _, at := range []string{"before the transaction", "before its commit", "after its commit", "before the update", "after the update"} {
		t.Run(at, func(t *testing.T) {
			w := newWorld(t)
			lost := &cutting{w.Store, at}
			before := idempotency.New(lost, envelope.New(w.KEK), w.Now)
			joining := idempotency.Joining(lost)
			text, repeated, err := before.Once(t.Context(), "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
				if at == "before the update" {
					return nil, errCut
				}
				w := *w
				w.joining = joining
				text, err := w.count("")(ctx)
				if at == "after the update" {
					return nil, errCut
				}
				return text, err
			})
			// A commit that went through though that could not be told is told all the same.
			if done := at == "after its commit"; done && (err != nil || !repeated || string(text) != "1") || !done && !errors.Is(err, errCut) {
				t.Errorf("cut off: %q, repeated %v, %v", text, repeated, err)
			}
			for range 2 {
				after := idempotency.New(w.Store, envelope.New(w.KEK), w.Now)
				text, _, err = after.Once(t.Context(), "me", "k", []byte("request"), w.count(""))
				if err != nil || string(text) != "1" || w.counted(t) != "1" {
					t.Errorf("again: %q, done %s times, %v", text, w.counted(t), err)
				}
			}
		})
	}
}

func TestAPanicLetsTheWriterGo(t *testing.T) {
	for _, inside := range []bool{false, true} {
		w := newWorld(t)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is kept quiet")
				}
			}()
			w.answers.Once(t.Context(), "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) { //nolint:errcheck // it panics
				if inside {
					w.joining.Update(ctx, func(tx store.Tx) error { panic("on purpose") }) //nolint:errcheck // it panics
				}
				w.set("a")(ctx) //nolint:errcheck // as above
				panic("on purpose")
			})
		}()
		if _, repeated, err := w.answers.Once(t.Context(), "me", "k", []byte("request"), w.set("b")); err != nil || repeated || w.isSet(t, "a") || !w.isSet(t, "b") {
			t.Errorf("afterwards: repeated %v, half done %v, %v", repeated, w.isSet(t, "a"), err)
		}
	}
}

// All updates of a request are one transaction, in which it reads what it has changed. What outlives the request
// is on its own.
func TestTheUpdatesOfARequestAreOneTransaction(t *testing.T) {
	w := newWorld(t)
	var kept context.Context
	reads := func(ctx context.Context) (there bool) {
		err := w.joining.View(ctx, func(tx store.Tx) error { _, err := tx.Setting("a"); return err })
		return err == nil
	}
	_, _, err := w.answers.Once(t.Context(), "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
		if reads(ctx) {
			t.Error("it reads what is not there yet")
		}
		text, err := w.set("a")(ctx)
		if !reads(ctx) || w.isSet(t, "a") {
			t.Errorf("in the middle: reads its own change %v, others do %v", reads(ctx), w.isSet(t, "a"))
		}
		_, again := w.set("b")(ctx)
		kept = ctx
		return text, errors.Join(err, again)
	})
	if err != nil || !w.isSet(t, "a") || !w.isSet(t, "b") {
		t.Error(err)
	}
	if _, err := w.set("later")(kept); err != nil || !w.isSet(t, "later") || !reads(kept) {
		t.Errorf("what outlives the request: %v", err)
	}
}

// A request that stands still in its transaction loses it, so that the others go on.
func TestARequestThatStandsStillLosesItsTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stands, goOn := make(chan struct{}), make(chan struct{})
		var still sync.WaitGroup
		still.Go(func() {
			_, _, err := w.answers.Once(t.Context(), "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
				text, err := w.set("a")(ctx)
				close(stands)
				<-goOn
				if _, err := w.set("b")(ctx); err == nil {
					t.Error("it goes on in a transaction that was taken from it")
				}
				return text, err
			})
			if err == nil {
				t.Error("it is told that it was done")
			}
		})
		<-stands
		other := make(chan error)
		go func() {
			other <- w.Store.Update(context.Background(), func(tx store.Tx) error { return tx.SetSetting("other", "1") })
		}()
		if err := <-other; err != nil {
			t.Error(err)
		}
		close(goOn)
		still.Wait()
		if w.isSet(t, "a") || w.isSet(t, "b") || !w.isSet(t, "other") {
			t.Errorf("done by who stood still: %v, %v", w.isSet(t, "a"), w.isSet(t, "b"))
		}
	})
}

// again is a store that undoes a transaction and runs it again, as after a deadlock.
type again struct{ store.Store }

func (a again) Update(ctx context.Context, fn func(store.Tx) error) error {
	undone := a.Store.Update(ctx, func(tx store.Tx) error { return errors.Join(fn(tx), errCut) })
	if !errors.Is(undone, errCut) {
		return undone
	}
	return a.Store.Update(ctx, fn)
}

// A request is carried out at most once, and so fails where other transactions are run again.
func TestATransactionThatWasUndoneFailsItsRequest(t *testing.T) {
	w := newWorld(t)
	answers, calls := idempotency.New(again{w.Store}, envelope.New(w.KEK), w.Now), 0
	joining := idempotency.Joining(again{w.Store})
	_, _, err := answers.Once(t.Context(), "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
		calls++
		w := *w
		w.joining = joining
		return w.set("a")(ctx)
	})
	if err == nil || calls != 1 || w.isSet(t, "a") {
		t.Errorf("%v after %d calls; done: %v", err, calls, w.isSet(t, "a"))
	}
}

// What follows from a change comes after its commit, and not at all if there is none.
func TestWhatFollowsFromAChangeComesAfterItsCommit(t *testing.T) {
	w := newWorld(t)
	for _, refused := range []bool{true, false} {
		var order []string
		follow := func(ctx context.Context) error {
			if !w.isSet(t, "a") {
				t.Error("it follows from what is not there")
			}
			_, err := w.set("followed")(ctx)
			order = append(order, "followed")
			return err
		}
		_, _, err := w.answers.Once(t.Context(), "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
			text, err := w.set("a")(ctx)
			if err := idempotency.After(ctx, follow); err != nil {
				t.Error(err)
			}
			order = append(order, "answered")
			if refused {
				err = errCut
			}
			return text, err
		})
		want := []string{"answered", "followed"}
		if refused {
			want = want[:1]
		}
		if refused != errors.Is(err, errCut) || !slices.Equal(order, want) || w.isSet(t, "followed") == refused {
			t.Errorf("refused %v: %v, in the order %v, want %v", refused, err, order, want)
		}
	}
	if err := idempotency.After(t.Context(), func(context.Context) error { return errCut }); !errors.Is(err, errCut) {
		t.Errorf("without a request: %v", err)
	}
}
