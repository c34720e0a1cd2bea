package idempotency_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/idempotency"
	"github.com/simroot/simroot/internal/platform/store"
)

type world struct {
	*fixture.World
	answers *idempotency.Answers
	joining store.Store
}

func newWorld(t testing.TB) *world {
	w := fixture.New(t)
	return &world{w, idempotency.New(w.Store, w.Envelope, w.Now), idempotency.Joining(w.Store)}
}

// set is a request that changes a setting and answers with something new each time.
func (w *world) set(name string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		err := w.joining.Update(ctx, func(tx store.Tx) error { return tx.SetSetting(name, "set") })
		return []byte(rand.Text()), err
	}
}

func (w *world) isSet(t testing.TB, name string) bool {
	t.Helper()
	err := w.Store.View(t.Context(), func(tx store.Tx) error { _, err := tx.Setting(name); return err })
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

func TestARepeatedRequestIsAnsweredAsTheFirstTimeForADay(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	first, repeated, err := w.answers.Once(ctx, "me", "k", []byte("request"), w.set("a"))
	if err != nil || repeated || !w.isSet(t, "a") {
		t.Fatal(repeated, err)
	}
	w.Pass(idempotency.Kept - time.Microsecond)
	again, repeated, err := w.answers.Once(ctx, "me", "k", []byte("request"), w.set("b"))
	if err != nil || !repeated || !bytes.Equal(first, again) || w.isSet(t, "b") {
		t.Errorf("again: %q after %q, repeated %v, %v; done again: %v", again, first, repeated, err, w.isSet(t, "b"))
	}
	_, _, err = w.answers.Once(ctx, "me", "k", []byte("another"), w.set("b"))
	fixture.Refused(t, err, api.CodeKeyReused)
	if other, repeated, err := w.answers.Once(ctx, "somebody else", "k", []byte("request"), w.set("c")); err != nil || repeated || bytes.Equal(first, other) {
		t.Error("another's key is another key:", repeated, err)
	}
	w.Pass(time.Microsecond)
	if _, repeated, err := w.answers.Once(ctx, "me", "k", []byte("another"), w.set("d")); err != nil || repeated {
		t.Error("a day later the key is free:", repeated, err)
	}
	w.Pass(idempotency.Kept)
	if err := w.answers.Forget(ctx); err != nil {
		t.Fatal(err)
	}
	err = w.Store.View(ctx, func(tx store.Tx) error { _, err := tx.Answer("me", "k"); return err })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an old answer stays: %v", err)
	}
}

func TestWhatIsRefusedChangesNothingAndIsNotKept(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	onPurpose := errors.New("on purpose")
	_, _, err := w.answers.Once(ctx, "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
		if _, err := w.set("a")(ctx); err != nil {
			return nil, err
		}
		return nil, onPurpose
	})
	if !errors.Is(err, onPurpose) || w.isSet(t, "a") {
		t.Errorf("%v; changed: %v", err, w.isSet(t, "a"))
	}
	// An update that fails in the middle must not be half there, though the request goes on.
	_, _, err = w.answers.Once(ctx, "me", "k", []byte("request"), func(ctx context.Context) ([]byte, error) {
		w.joining.Update(ctx, func(tx store.Tx) error { return errors.Join(tx.SetSetting("a", "half"), onPurpose) })
		return []byte("fine"), nil
	})
	if !errors.Is(err, onPurpose) || w.isSet(t, "a") {
		t.Errorf("half an update: %v; changed: %v", err, w.isSet(t, "a"))
	}
	if _, repeated, err := w.answers.Once(ctx, "me", "k", []byte("request"), w.set("a")); err != nil || repeated {
		t.Error("the corrected request:", repeated, err)
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"", "a b", "ä", string(make([]byte, 3)), string(bytes.Repeat([]byte("x"), 129))} {
		_, _, err := w.answers.Once(t.Context(), "me", bad, nil, w.set("a"))
		fixture.Refused(t, err, api.CodeBadRequest)
	}
	if w.isSet(t, "a") {
		t.Error("it was done")
	}
}
