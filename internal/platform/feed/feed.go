// Package feed is the ordered stream of changes that server middlewares follow. Whoever
// makes a change calls [SIM] or [Credential] in the same transaction, so that the order of
// the feed is the order of the commits.
//
// The feed carries no key, no PSK and nothing sealed.
package feed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// SIM puts the new state of a SIM on the feed.
func SIM(tx store.Tx, now time.Time, s api.SIM) error {
	_, err := tx.AppendEvent(api.Event{Time: now, SIM: &s})
	return err
}

// Credential puts the new state of a credential on the feed.
func Credential(tx store.Tx, now time.Time, c api.Credential) error {
	_, err := tx.AppendEvent(api.Event{Time: now, Credential: &c})
	return err
}

// Feed reads the stream.
type Feed struct {
	store store.Store
	id    string
}

// idSetting names the setting that holds the feed's identity.
const idSetting = "feed"

// New opens the feed of a store, and gives it its identity the first time.
func New(ctx context.Context, s store.Store) (*Feed, error) {
	f := &Feed{store: s}
	err := s.View(ctx, func(tx store.Tx) (err error) {
		f.id, err = tx.Setting(idSetting)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		var id [16]byte
		rand.Read(id[:]) // never fails (crypto/rand)
		f.id = hex.EncodeToString(id[:])
		err = s.Update(ctx, func(tx store.Tx) error { return tx.SetSetting(idSetting, f.id) })
	}
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	return f, nil
}

// ID names the history that the sequence numbers belong to.
func (f *Feed) ID() string { return f.id }

// Head is the sequence number of the last event, 0 if there was none.
func (f *Feed) Head() int64 {
	seq, _ := f.store.Head()
	return seq
}

// Read returns up to limit events after the given sequence number, none if there is nothing new.
func (f *Feed) Read(ctx context.Context, after int64, limit int) (events []api.Event, err error) {
	if after >= f.Head() { // spares followers that are up to date the query
		return nil, nil
	}
	err = f.store.View(ctx, func(tx store.Tx) error {
		events, err = tx.Events(after, limit)
		return err
	})
	return events, err
}

// Wait returns nil once there is an event after the given sequence number, or the cause of
// the end of ctx.
func (f *Feed) Wait(ctx context.Context, after int64) error {
	for {
		seq, changed := f.store.Head()
		if seq > after {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
