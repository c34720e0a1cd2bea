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
	_, err := tx.AppendEvent(api.Event{Time: now, Mark: newMark(), SIM: &s})
	return err
}

// Credential puts the new state of a credential on the feed.
func Credential(tx store.Tx, now time.Time, c api.Credential) error {
	_, err := tx.AppendEvent(api.Event{Time: now, Mark: newMark(), Credential: &c})
	return err
}

// newMark tells an event from every other one, also from that with the same number in the history
// of a platform that was restored from the same backup.
func newMark() string {
	var random [8]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	return hex.EncodeToString(random[:])
}

// ErrHistory means that a position is not in this history.
var ErrHistory = errors.New("feed: the position is not in this history")

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
		err = s.Update(ctx, func(tx store.Tx) (err error) {
			// Another node may have been first.
			if f.id, err = tx.Setting(idSetting); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if err := NewIdentity(tx); err != nil {
				return err
			}
			f.id, err = tx.Setting(idSetting)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("feed: %w", err)
	}
	return f, nil
}

// NewIdentity makes the feed another one: whoever follows it fetches everything anew. It is for a
// store that was brought back to an earlier time; a [Feed] that is open does not hear of it.
func NewIdentity(tx store.Tx) error {
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	return tx.SetSetting(idSetting, hex.EncodeToString(id[:]))
}

// ID names the history that the sequence numbers belong to.
func (f *Feed) ID() string { return f.id }

// Head is the sequence number of the last event, 0 if there was none.
func (f *Feed) Head() int64 {
	seq, _ := f.store.Head()
	return seq
}

// Position is after the last event.
func (f *Feed) Position(ctx context.Context) (p api.FeedPosition, err error) {
	p = api.FeedPosition{ID: f.id, Seq: f.Head()}
	if p.Seq == 0 {
		return p, nil
	}
	err = f.store.View(ctx, func(tx store.Tx) error {
		events, err := tx.Events(p.Seq-1, 1)
		if err == nil && (len(events) == 0 || events[0].Seq != p.Seq) {
			err = fmt.Errorf("feed: event %d: %w", p.Seq, store.ErrNotFound)
		}
		if err == nil {
			p.Mark = events[0].Mark
		}
		return err
	})
	return p, err
}

// Check fails with [ErrHistory] if a position is not in this history. An empty ID or mark is not
// compared, but the event must be there.
func (f *Feed) Check(ctx context.Context, p api.FeedPosition) error {
	_, err := f.read(ctx, p, 0)
	return err
}

// Read returns up to limit events after a position, none if there is nothing new. It
// fails with [ErrHistory] if the position is not in this history any more.
func (f *Feed) Read(ctx context.Context, after api.FeedPosition, limit int) ([]api.Event, error) {
	if after.Seq >= f.Head() { // spares followers that are up to date the query
		return nil, nil
	}
	return f.read(ctx, after, limit)
}

func (f *Feed) read(ctx context.Context, after api.FeedPosition, limit int) (events []api.Event, err error) {
	if after.ID != "" && after.ID != f.id {
		return nil, ErrHistory
	}
	compare := after.Seq > 0
	first := after.Seq
	if compare {
		first, limit = first-1, limit+1
	}
	if err := f.store.View(ctx, func(tx store.Tx) (err error) {
		events, err = tx.Events(first, limit)
		return err
	}); err != nil || !compare {
		return events, err
	}
	if len(events) == 0 || events[0].Seq != after.Seq || after.Mark != "" && events[0].Mark != after.Mark {
		return nil, ErrHistory
	}
	return events[1:], nil
}

// statePage is how many rows are read in one transaction.
const statePage = 1000

// State calls yield with pages of the present state: every SIM, and every credential but those
// that are over and past their end. Certificates are left out. It is no snapshot, lest a long
// transaction hold up the store: rows that change meanwhile may come in their old or
// new state, and the events tell.
func (f *Feed) State(ctx context.Context, now time.Time, yield func([]api.Event) error) error {
	page := make([]api.Event, 0, statePage)
	last := ""
	for more := true; more; {
		page = page[:0]
		err := f.store.View(ctx, func(tx store.Tx) error {
			rows, err := tx.ListSIMs(store.SIMFilter{}, last, statePage)
			for i := range rows {
				last = rows[i].ICCID
				page = append(page, api.Event{Time: rows[i].Updated, SIM: &rows[i].SIM})
			}
			more = len(rows) == statePage
			return err
		})
		if err == nil {
			err = yield(page)
		}
		if err != nil {
			return err
		}
	}
	last = ""
	for more := true; more; {
		page = page[:0]
		err := f.store.View(ctx, func(tx store.Tx) error {
			rows, err := tx.ListCredentials(store.CredentialFilter{}, last, statePage)
			for i := range rows {
				c := &rows[i].Credential
				last = c.ID
				if c.State.Final() && !c.NotAfter.IsZero() && now.After(c.NotAfter) {
					continue
				}
				c.Certificate = nil
				page = append(page, api.Event{Time: c.Updated, Credential: c})
			}
			more = len(rows) == statePage
			return err
		})
		if err == nil {
			err = yield(page)
		}
		if err != nil {
			return err
		}
	}
	return nil
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
