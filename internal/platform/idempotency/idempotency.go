// Package idempotency answers a request that is repeated under the same key as it was answered the
// first time, and does nothing again.
//
// The answer is kept in the transaction of the change, so that there is never the one without the
// other, whichever node is asked and whatever dies in between. The services are given a store ([Joining])
// whose first update within a request begins that transaction; further ones join it, and it ends with the
// request. What a request does before its first update, such as having something signed by a slow
// key service, holds up nobody.
//
// Nobody claims a key beforehand, so that no claim is left behind by a node that has died. A key is
// taken by the row of its answer, of which there can be one: of several requests that run at once under one
// key, at one node or at several, one commits, and all others are undone to the last row and find its
// answer. So it is with a request that was refused because another has already done what both want, and
// with one whose commit went through though that could not be told: before a failure is passed on, the
// answer is looked for. Cut before the commit, nothing was done, and the repetition does it; cut after
// it, the answer is there.
//
// What follows from a change outside of the store comes after the commit ([After]). What else is outside of the
// store is not undone. A service that signs before its transaction lets the
// signature go then, as it does when the commit fails.
//
// The requests under one key at one node come after each other, so that an impatient client does
// not multiply the work of a slow one; who has waited for [Patience] is told to come again
// (draft-ietf-httpapi-idempotency-key-header, 2.6: 409). A request that is refused changes nothing and is
// not kept. Answers may hold a token that is shown once, and so lie in envelopes.
package idempotency

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

const (
	// Kept is how long an answer is.
	Kept = 24 * time.Hour
	// Patience is how long a request waits for another under the same key, and how long the transaction of
	// one stays open while it does nothing in it.
	Patience = 5 * time.Second
)

// Answers are those of one platform.
type Answers struct {
	store    store.Store
	envelope *envelope.Envelope
	now      func() time.Time

	mu      sync.Mutex
	running map[name]chan struct{} // at this node; closed when the request has ended
}

// name is what a request is called.
type name struct{ principal, key string }

// record is what the envelope of its answer is bound to.
func (n name) record() string {
	return store.Envelope{Kind: store.AnswerEnvelope, Key: n.principal + " " + n.key}.Record()
}

// New returns the answers of a store. A nil clock means time.Now.
func New(s store.Store, e *envelope.Envelope, c func() time.Time) *Answers {
	return &Answers{store: s, envelope: e, now: clock.Of(c), running: map[name]chan struct{}{}}
}

// good is what a key may be: visible ASCII.
var good = regexp.MustCompile(`^[!-~]{1,128}$`)

// Once runs a request of a principal under a key, or returns what it was answered before. The request
// is given as what tells it from others. The context that answer is given must reach the services. Answer
// is called at most once.
func (a *Answers) Once(ctx context.Context, principal, key string, request []byte, answer func(context.Context) ([]byte, error)) (text []byte, repeated bool, err error) {
	if !good.MatchString(key) {
		return nil, false, refuse.BadRequest("%s: want 1 to 128 visible ASCII characters, such as a UUID", api.HeaderIdempotencyKey)
	}
	n, digest := name{principal, key}, sha256.Sum256(request)
	end, err := a.alone(ctx, n)
	if err != nil {
		return nil, false, err
	}
	defer end()
	if text, err = a.before(ctx, n, digest); !errors.Is(err, store.ErrNotFound) {
		return text, err == nil, err
	}
	if text, err = a.run(ctx, n, digest, answer); err == nil {
		return text, false, nil
	}
	// Another has answered it meanwhile, or this one has and was not told.
	if before, none := a.before(context.WithoutCancel(ctx), n, digest); none == nil || api.HasCode(none, api.CodeKeyReused) {
		return before, none == nil, none
	}
	return nil, false, err
}

// alone waits until no other request runs under the name at this node.
func (a *Answers) alone(ctx context.Context, n name) (end func(), err error) {
	limit := time.NewTimer(Patience)
	defer limit.Stop()
	for {
		a.mu.Lock()
		other, busy := a.running[n]
		if !busy {
			ended := make(chan struct{})
			a.running[n] = ended
			a.mu.Unlock()
			return func() {
				a.mu.Lock()
				defer a.mu.Unlock()
				delete(a.running, n)
				close(ended)
			}, nil
		}
		a.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-limit.C:
			refusal := refuse.With(api.CodeInProgress, http.StatusConflict,
				"the first request under this %s is still being carried out: repeat this one for its answer", api.HeaderIdempotencyKey)
			refusal.RetryAfter = time.Second
			return nil, refusal
		}
	}
}

// before is what a request was answered before, or store.ErrNotFound.
func (a *Answers) before(ctx context.Context, n name, digest [32]byte) ([]byte, error) {
	var kept store.Answer
	err := a.store.View(ctx, func(tx store.Tx) (err error) {
		kept, err = tx.Answer(n.principal, n.key)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !a.now().Before(kept.Expires):
		return nil, errors.Join(a.Forget(ctx), store.ErrNotFound)
	case kept.Request != digest:
		return nil, refuse.With(api.CodeKeyReused, http.StatusUnprocessableEntity,
			"%s was used for another request within the last %s: take a new key for a new request", api.HeaderIdempotencyKey, Kept)
	}
	return a.envelope.Open(ctx, n.record(), kept.Answer)
}

// run carries out a request and keeps its answer.
func (a *Answers) run(ctx context.Context, n name, digest [32]byte, answer func(context.Context) ([]byte, error)) (text []byte, err error) {
	seal, err := a.envelope.Ahead(ctx, n.record()) // now, since a key service is not to be waited for in the transaction
	if err != nil {
		return nil, err
	}
	t := newTransaction()
	err = errAbandoned
	defer func() {
		if errors.Is(err, errAbandoned) { // by a panic: the writer must not wait for what does not come
			t.end(ctx, a.store, err, nil) //nolint:errcheck // it is what was given
		}
	}()
	within := context.WithValue(ctx, transactionKey{}, t)
	text, err = answer(within)
	err = t.end(ctx, a.store, err, func(tx store.Tx) error {
		sealed, err := seal(text)
		if err != nil {
			return err
		}
		return tx.InsertAnswer(store.Answer{Principal: n.principal, Key: n.key, Request: digest, Answer: sealed, Expires: a.now().Add(Kept)})
	})
	if err != nil {
		return nil, err
	}
	for _, fn := range t.after {
		fn(within) //nolint:errcheck // see [After]
	}
	return text, nil
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
