// Package audit keeps who did what and why. Whoever makes a change calls [Append] in the
// same transaction, so that there is no change without its entry and no entry without its
// change.
package audit

import (
	"context"
	"strconv"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/page"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// Actors that are no person.
const (
	Platform = "platform" // a job, or the initialisation
	TheSIM   = "sim"      // the SIM itself, in a relay session
)

// Append adds an entry; its sequence number is given by the store.
func Append(tx store.Tx, e api.AuditEntry) error {
	_, err := tx.AppendAudit(e)
	return err
}

// Log reads the entries, and adds those that go with no change.
type Log struct {
	store store.Store
	now   func() time.Time
}

// New returns the log of a store. A nil clock means time.Now.
func New(s store.Store, now func() time.Time) *Log { return &Log{store: s, now: clock.Of(now)} }

// Record adds entries for something that changes no state, such as secrets that leave the
// platform. All of them are on disk when Record returns.
func (l *Log) Record(ctx context.Context, entries ...api.AuditEntry) error {
	now := l.now().UTC()
	return l.store.Update(ctx, func(tx store.Tx) error {
		for _, e := range entries {
			e.Time = now
			if err := Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

// List returns entries in the order in which they were made. After is the sequence
// number of the last entry of the page before, or empty.
func (l *Log) List(ctx context.Context, after string, limit int) (p api.Page[api.AuditEntry], err error) {
	var seq int64
	if after != "" {
		if seq, err = strconv.ParseInt(after, 10, 64); err != nil {
			return p, refuse.BadRequest("after: %q is not the number of an audit entry", after)
		}
	}
	return page.View(ctx, l.store, limit, func(tx store.Tx, most int) ([]api.AuditEntry, error) {
		return tx.Audit(seq, most)
	}, page.Same[api.AuditEntry], func(e api.AuditEntry) string { return strconv.FormatInt(e.Seq, 10) })
}
