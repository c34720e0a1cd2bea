package registry

import (
	"context"
	"log/slog"
	"time"

	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/store"
)

const (
	// staleBatch is how long a batch that is loading may stand still before what there is of
	// it is removed: the process that read it is gone.
	staleBatch = 10 * time.Minute
	// batchInterval is how often unfinished batches are looked for.
	batchInterval = time.Minute
)

// Work puts the SIMs of large batches on the feed, and removes what is left of imports that
// were cut off, until ctx ends. Alone tells that no other process serves the same store:
// then what is loading at the start was left by one that is gone.
func (r *Registry) Work(ctx context.Context, log *slog.Logger, alone bool) {
	ticker := time.NewTicker(batchInterval)
	defer ticker.Stop()
	stale := staleBatch
	if alone {
		stale = 0
	}
	for {
		if err := r.settle(ctx, stale); err != nil && ctx.Err() == nil {
			log.ErrorContext(ctx, "batches are not settled; it is tried again", "error", err)
		} else {
			stale = staleBatch
		}
		select {
		case <-r.announce:
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// settle finishes what can be finished, and erases transport keys that have expired.
func (r *Registry) settle(ctx context.Context, stale time.Duration) error {
	var unfinished []store.Batch
	now := r.now()
	if err := r.store.Update(ctx, func(tx store.Tx) error { return tx.ForgetTransportKeys(now) }); err != nil {
		return err
	}
	if err := r.store.View(ctx, func(tx store.Tx) (err error) {
		unfinished, err = tx.UnfinishedBatches(now.Add(time.Second))
		return err
	}); err != nil {
		return err
	}
	for _, b := range unfinished {
		var err error
		switch {
		case b.State == store.BatchAnnouncing:
			err = r.tell(ctx, b)
		case now.Sub(b.Updated) >= stale:
			err = r.discard(ctx, b.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tell puts the SIMs of a batch on the feed, as they are by then.
func (r *Registry) tell(ctx context.Context, b store.Batch) error {
	for b.State == store.BatchAnnouncing {
		after := b
		err := r.store.Update(ctx, func(tx store.Tx) error {
			after = b
			sims, err := tx.SIMsOfBatch(b.ID, b.Announced, chunk)
			if err != nil {
				return err
			}
			for _, s := range sims {
				if err := feed.SIM(tx, s.Updated, s.SIM); err != nil {
					return err
				}
				after.Announced = s.ICCID
			}
			if len(sims) < chunk {
				after.State = store.BatchComplete
			}
			after.Updated = r.now()
			return tx.UpdateBatch(after)
		})
		if err != nil {
			return err
		}
		b = after
	}
	return nil
}

// discard removes a batch that is loading with its SIMs, a chunk at a time.
func (r *Registry) discard(ctx context.Context, id string) error {
	after := ""
	for {
		last := ""
		err := r.store.View(ctx, func(tx store.Tx) error {
			sims, err := tx.SIMsOfBatch(id, after, chunk)
			if len(sims) > 0 {
				last = sims[len(sims)-1].ICCID
			}
			return err
		})
		if err != nil {
			return err
		}
		err = r.store.Update(ctx, func(tx store.Tx) error {
			if last == "" {
				return tx.DeleteBatch(id)
			}
			return tx.DeleteSIMsOfBatch(id, after, last)
		})
		if err != nil || last == "" {
			return err
		}
		after = last
	}
}
