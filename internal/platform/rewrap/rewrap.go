// Package rewrap moves the stored secrets from one key-encryption key to another while the
// platform works.
//
// Each step moves a few rows in one short transaction, and a row only if it still holds what
// was moved. So the work may end at any point and be taken up again by anyone: what is left to
// do is seen from the rows. Nothing but the wrapping changes, and no key is ever forgotten here.
package rewrap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/store"
)

// step is how many secrets are moved in one transaction.
const step = 200

// Result tells what a run has done.
type Result struct {
	Moved  int // secrets that are now under the current key
	Failed int // secrets that cannot be opened, and stay as they are
}

// Run moves every secret that is under another key than the envelope's current one. Err is why
// it ended early; what was moved stays moved. Secrets that cannot be opened do not end it.
func Run(ctx context.Context, s store.Store, e *envelope.Envelope, log *slog.Logger) (done Result, err error) {
	for _, kind := range store.EnvelopeKinds {
		for after, more := "", true; more; {
			if after, more, err = move(ctx, s, e, log, kind, after, &done); err != nil {
				return done, fmt.Errorf("move secrets to key-encryption key %s: %w", e.Current(), err)
			}
		}
	}
	return done, nil
}

// move moves the next few secrets of one kind.
func move(ctx context.Context, s store.Store, e *envelope.Envelope, log *slog.Logger, kind store.EnvelopeKind, after string, done *Result) (last string, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return after, false, err
	}
	var found []store.Envelope
	current := e.Current()
	err = s.View(ctx, func(tx store.Tx) (err error) {
		found, err = tx.EnvelopesNotUnder(kind, current, after, step)
		return err
	})
	if err != nil || len(found) == 0 {
		return after, false, err
	}
	// Outside the transaction: a key service is not to be waited for in it.
	moved := make(map[int][]byte, len(found))
	for i, old := range found {
		after = old.Key
		sealed, err := e.Rewrap(ctx, old.Record(), old.Sealed)
		if ctx.Err() != nil {
			return after, false, ctx.Err()
		}
		if err != nil {
			done.Failed++
			log.ErrorContext(ctx, "a secret cannot be moved to another key-encryption key and stays under its own", "error", err)
			continue
		}
		moved[i] = sealed
	}
	count := 0
	err = s.Update(ctx, func(tx store.Tx) error {
		count = 0
		for i, sealed := range moved {
			err := tx.ReplaceEnvelope(found[i], sealed)
			if errors.Is(err, store.ErrNotFound) { // it has changed meanwhile; the next run looks again
				continue
			}
			if err != nil {
				return err
			}
			count++
		}
		return nil
	})
	if err == nil {
		done.Moved += count
	}
	return after, len(found) == step, err
}
