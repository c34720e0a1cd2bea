// Package idempotency answers a request that is repeated under the same key as it was answered the
// first time, and does nothing again. The answer is kept in the transaction of the change, so that there
// is never the one without the other, whichever node is asked and whatever dies in between.
//
// The whole request runs inside one transaction: the services are given a store ([Joining]) whose
// updates join the transaction that the context carries. A request that is refused changes nothing and
// is not kept. Answers may hold a token that is shown once, and so lie in envelopes.
package idempotency

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// Kept is how long an answer is.
const Kept = 24 * time.Hour

// Answers are those of one platform.
type Answers struct {
	store    store.Store
	envelope *envelope.Envelope
	now      func() time.Time
}

// New returns the answers of a store. A nil clock means time.Now.
func New(s store.Store, e *envelope.Envelope, c func() time.Time) *Answers {
	return &Answers{store: s, envelope: e, now: clock.Of(c)}
}

// good is what a key may be: visible ASCII.
var good = regexp.MustCompile(`^[!-~]{1,128}$`)

// Once runs a request of a principal under a key, or returns what it was answered before. The request
// is given as what tells it from others. The context that answer is given must reach the services, and
// answer must not be called anew for what it did outside of the store.
func (a *Answers) Once(ctx context.Context, principal, key string, request []byte, answer func(context.Context) ([]byte, error)) (text []byte, repeated bool, err error) {
	if !good.MatchString(key) {
		return nil, false, refuse.BadRequest("%s: want 1 to 128 visible ASCII characters, such as a UUID", api.HeaderIdempotencyKey)
	}
	digest, now := sha256.Sum256(request), a.now()
	record := "answer " + principal + " " + key
	err = a.store.Update(ctx, func(tx store.Tx) error {
		kept, err := tx.Answer(principal, key)
		if err == nil && !now.Before(kept.Expires) {
			if _, err := tx.ForgetAnswers(now, 1<<30); err != nil {
				return err
			}
			err = store.ErrNotFound
		}
		switch {
		case err == nil && kept.Request != digest:
			return refuse.With(api.CodeKeyReused, http.StatusUnprocessableEntity,
				"%s was used for another request within the last %s: take a new key for a new request", api.HeaderIdempotencyKey, Kept)
		case err == nil:
			repeated = true
			text, err = a.envelope.Open(ctx, record, kept.Answer)
			return err
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		within := &transaction{tx: tx}
		if text, err = answer(context.WithValue(ctx, transactionKey{}, within)); err != nil {
			return err
		}
		if within.failed != nil {
			// Part of what failed may be there already.
			return fmt.Errorf("idempotency: an update failed, and the request was answered all the same: %w", within.failed)
		}
		sealed, err := a.envelope.Seal(ctx, record, text)
		if err != nil {
			return err
		}
		return tx.InsertAnswer(store.Answer{Principal: principal, Key: key, Request: digest, Answer: sealed, Expires: now.Add(Kept)})
	})
	if err != nil {
		return nil, false, err
	}
	return text, repeated, nil
}

// forgetAtOnce bounds a transaction of Forget.
const forgetAtOnce = 1000

// Forget removes the answers that have expired.
func (a *Answers) Forget(ctx context.Context) error {
	for more := true; more; {
		err := a.store.Update(ctx, func(tx store.Tx) error {
			n, err := tx.ForgetAnswers(a.now(), forgetAtOnce)
			more = n == forgetAtOnce
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

type transactionKey struct{}

// transaction is one that updates join.
type transaction struct {
	tx     store.Tx
	failed error // the first failure of an update
}

// Joining is a store whose transactions join the one in which a request is answered, if there is one.
func Joining(s store.Store) store.Store { return joining{s} }

type joining struct{ store.Store }

// Update implements [store.Store].
func (j joining) Update(ctx context.Context, fn func(store.Tx) error) error {
	within, ok := ctx.Value(transactionKey{}).(*transaction)
	if !ok {
		return j.Store.Update(ctx, fn)
	}
	err := fn(within.tx)
	if err != nil && within.failed == nil {
		within.failed = err
	}
	return err
}

// View implements [store.Store].
func (j joining) View(ctx context.Context, fn func(store.Tx) error) error {
	if within, ok := ctx.Value(transactionKey{}).(*transaction); ok {
		return fn(within.tx)
	}
	return j.Store.View(ctx, fn)
}
