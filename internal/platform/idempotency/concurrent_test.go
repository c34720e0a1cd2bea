package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/idempotency"
	"github.com/simroot/simroot/internal/platform/store"
)

// count is a request that counts how often it was done, as the store sees it, and is done from one state only.
func (w *world) count(from string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) (done []byte, err error) {
		err = w.joining.Update(ctx, func(tx store.Tx) error {
			was, err := tx.Setting("count")
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if from != "" && was != from { // as a change that is refused in the state after it
				return errors.New("it was done before")
			}
			n, _ := strconv.Atoi(was)
			done = strconv.AppendInt(nil, int64(n+1), 10)
			return tx.SetSetting("count", string(done))
		})
		return done, err
	}
}

func (w *world) counted(t testing.TB) (n string) {
	t.Helper()
	err := w.Store.View(t.Context(), func(tx store.Tx) (err error) { n, err = tx.Setting("count"); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return n
}

// Nodes share nothing but the store. Each request is sent to all of them several times at once.
func TestOfManyAtOnceAtSeveralNodesOneIsDone(t *testing.T) {
	w := newWorld(t)
	nodes := make([]*idempotency.Answers, 4)
	for i := range nodes {
		nodes[i] = idempotency.New(w.Store, envelope.New(w.KEK), w.Now)
	}
	const keys, each = 10, 3
	answers := make([][][]byte, keys)
	var group sync.WaitGroup
	for k := range keys {
		answers[k] = make([][]byte, each*len(nodes))
		for i := range answers[k] {
			group.Go(func() {
				var err error
				answers[k][i], _, err = nodes[i%len(nodes)].Once(t.Context(), "me", strconv.Itoa(k), []byte("request"), w.count(""))
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	if n := w.counted(t); n != strconv.Itoa(keys) {
		t.Errorf("%d requests were done %s times", keys, n)
	}
	for k, all := range answers {
		for _, a := range all {
			if !bytes.Equal(a, all[0]) {
				t.Errorf("request %d was answered %q and %q", k, all[0], a)
			}
		}
	}
}

// Whoever comes second at another node finds that what it wants was done: it is answered as the first was, and
// not refused. With another request it is.
func TestWhoIsOvertakenByTheSameRequestGetsItsAnswer(t *testing.T) {
	w := newWorld(t)
	other := idempotency.New(w.Store, envelope.New(w.KEK), w.Now)
	for _, c := range []struct{ what, request, from string }{
		{"refused-since-done", "request", "0"}, {"both-done", "request", ""}, {"another", "another", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			before := w.counted(t)
			var first []byte
			text, repeated, err := w.answers.Once(t.Context(), "me", c.what, []byte(c.request), func(ctx context.Context) ([]byte, error) {
				var err error
				if first, _, err = other.Once(t.Context(), "me", c.what, []byte("request"), w.count("")); err != nil {
					return nil, err
				}
				return w.count(c.from)(ctx)
			})
			if c.request == "another" {
				fixture.Refused(t, err, api.CodeKeyReused)
			} else if err != nil || !repeated || !bytes.Equal(text, first) {
				t.Errorf("%q after %q, repeated %v, %v", text, first, repeated, err)
			}
			was, _ := strconv.Atoi(before)
			if n := w.counted(t); n != strconv.Itoa(was+1) {
				t.Errorf("it was done %s - %d times", n, was)
			}
		})
	}
}

// What a request does before its first update, a slow signature for example, holds up nobody, and others may
// do the same under keys of their own.
func TestASlowRequestHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var slow sync.WaitGroup
	for _, key := range []string{"slow", "slower"} {
		slow.Go(func() {
			_, _, err := w.answers.Once(t.Context(), "me", key, []byte("request"), func(ctx context.Context) ([]byte, error) {
				begun <- struct{}{}
				<-goOn
				return w.count("")(ctx)
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-begun
	}
	if err := w.Store.Update(t.Context(), func(tx store.Tx) error { return tx.SetSetting("other", "1") }); err != nil {
		t.Error(err)
	}
	if _, _, err := w.answers.Once(t.Context(), "me", "quick", []byte("request"), w.set("quick")); err != nil || !w.isSet(t, "quick") {
		t.Error(err)
	}
	close(goOn)
	slow.Wait()
	if n := w.counted(t); n != "2" {
		t.Errorf("done %s times", n)
	}
}

// The second waits for the first at the same node, and is told to come again if that takes long. When the first
// is refused the second is carried out.
func TestTheSecondWaitsForTheFirstButNotForEver(t *testing.T) {
	for _, refused := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			goOn, first := make(chan struct{}), make(chan error, 1)
			go func() {
				_, _, err := w.answers.Once(t.Context(), "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
					<-goOn
					if refused {
						return nil, errors.New("on purpose")
					}
					return w.count("")(ctx)
				})
				first <- err
			}()
			synctest.Wait()
			began := time.Now()
			_, _, err := w.answers.Once(t.Context(), "me", "k", []byte("request"), w.count(""))
			fixture.Refused(t, err, api.CodeInProgress)
			var refusal *api.Error
			if errors.As(err, &refusal); refusal.RetryAfter == 0 || time.Since(began) != idempotency.Patience {
				t.Errorf("told to come again in %v, after %v", refusal.RetryAfter, time.Since(began))
			}
			gone, leave := context.WithCancel(t.Context())
			leave()
			if _, _, err := w.answers.Once(gone, "me", "k", []byte("request"), w.count("")); !errors.Is(err, context.Canceled) {
				t.Errorf("who does not wait: %v", err)
			}
			second := make(chan bool, 1)
			go func() {
				text, repeated, err := w.answers.Once(t.Context(), "me", "k", []byte("request"), w.count(""))
				if err != nil || string(text) != "1" {
					t.Errorf("%q, %v", text, err)
				}
				second <- repeated
			}()
			synctest.Wait()
			close(goOn)
			if err := <-first; refused == (err == nil) {
				t.Errorf("the first: %v", err)
			}
			if repeated := <-second; repeated == refused {
				t.Errorf("the second was answered as before: %v", repeated)
			}
		})
	}
}
