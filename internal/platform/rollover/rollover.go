// Package rollover takes the platform from one CA to the next while everything goes on.
//
//	begin    the new CA is made; application servers learn of both CAs at once, SIMs of both roots
//	         when they come; the old CA still issues
//	finish   refused while a SIM does not hold the new root; from now on the new CA issues, and both
//	         are trusted until the last certificate of the old one has ended
//	retire   by itself: only the new one counts
//
// At every moment, a certificate that is in use is one of a CA that all who may see it know.
package rollover

import (
	"context"
	"errors"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// serverLifetime is the longest life of a certificate that is in no row: that of a server.
const serverLifetime = 90 * 24 * time.Hour

// Options are what a [Rollover] works with.
type Options struct {
	Store store.Store
	CA    *ca.CA
	// Changed is called when other roots are to be trusted, to publish them in the folder.
	Changed func() error
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Rollover is safe for concurrent use.
type Rollover struct {
	o   Options
	now func() time.Time
}

// New returns the rollover of a CA.
func New(o Options) *Rollover {
	if o.Changed == nil {
		o.Changed = func() error { return nil }
	}
	return &Rollover{o, clock.Of(o.Clock)}
}

// Status tells where the rollover stands, and how many SIMs hold the present roots.
func (r *Rollover) Status(ctx context.Context) (s api.CARollover, err error) {
	c := r.o.CA.Rollover()
	s = api.CARollover{State: api.NoRollover, Issuing: c.Issuing, Next: c.Next, Before: c.Before, Since: c.Since, Until: c.Until, CrossSigned: c.Crossed}
	switch {
	case c.Next != "":
		s.State = api.RolloverBegun
	case c.Before != "":
		s.State = api.RolloverFinished
	}
	err = r.o.Store.View(ctx, func(tx store.Tx) (err error) {
		s.Without, err = r.without(tx)
		return err
	})
	return s, err
}

// without counts the SIMs, by fleet, that hold other trust anchors than they should.
func (r *Rollover) without(tx store.Tx) (by map[string]int, err error) {
	by = map[string]int{}
	const page = 100
	for after, more := "", true; more; {
		fleets, err := tx.ListFleets(after, page)
		if err != nil {
			return nil, err
		}
		more = len(fleets) == page
		for _, f := range fleets {
			after = f.Name
			if len(f.Profile.AnchorFiles()) == 0 {
				continue
			}
			n, err := tx.CampaignRemaining(store.CampaignSelection{
				Campaign: api.Campaign{Fleet: f.Name, Kind: api.AnchorAll}, Anchors: r.o.CA.OnSIM().Set,
			})
			if err != nil {
				return nil, err
			}
			if n > 0 {
				by[f.Name] = n
			}
		}
	}
	return by, nil
}

// Begin makes the next CA. A repetition changes nothing.
func (r *Rollover) Begin(ctx context.Context, actor string, why api.Change) (api.CARollover, error) {
	return r.change(ctx, actor, "ca.rollover-begun", why, func() error { return r.o.CA.Begin() })
}

// Finish lets the next CA issue. Unless it is forced, it is refused while a SIM lacks the new root: such
// a SIM would not know its servers any more. A repetition changes nothing.
func (r *Rollover) Finish(ctx context.Context, actor string, f api.FinishRollover) (api.CARollover, error) {
	return r.change(ctx, actor, "ca.rollover-finished", f.Change, func() error {
		until := r.now().Add(serverLifetime)
		err := r.o.Store.View(ctx, func(tx store.Tx) error {
			last, err := tx.LastEnd()
			if last.After(until) {
				until = last
			}
			if err != nil || f.Force {
				return err
			}
			by, err := r.without(tx)
			left := 0
			for _, n := range by {
				left += n
			}
			if err == nil && left > 0 && r.o.CA.Rollover().Next != "" {
				err = refuse.Conflict("%d SIMs do not hold the new root yet, and would not know their servers any more: begin an anchor campaign for their fleets, wait, or force it", left)
			}
			return err
		})
		if err != nil {
			return err
		}
		return r.o.CA.Finish(until.Truncate(time.Second).Add(time.Second))
	})
}

// Abort gives up the next CA. A repetition changes nothing.
func (r *Rollover) Abort(ctx context.Context, actor string, why api.Change) (api.CARollover, error) {
	return r.change(ctx, actor, "ca.rollover-aborted", why, func() error { return r.o.CA.Abort() })
}

func (r *Rollover) change(ctx context.Context, actor, action string, why api.Change, do func() error) (s api.CARollover, err error) {
	if err := transition.CheckChange(why); err != nil {
		return s, err
	}
	before := r.o.CA.Rollover()
	err = do()
	if errors.Is(err, ca.ErrRollover) {
		return s, refuse.Conflict("%v", err)
	}
	if err != nil {
		return s, err
	}
	if after := r.o.CA.Rollover(); after != before {
		if err := r.o.Changed(); err != nil {
			return s, err
		}
		if err := r.record(ctx, actor, action, why.Note, before, after); err != nil {
			return s, err
		}
	}
	return r.Status(ctx)
}

func (r *Rollover) record(ctx context.Context, actor, action, note string, before, after ca.Rollover) error {
	subject := after.Next
	if subject == "" {
		subject = after.Issuing
	}
	now := r.now()
	return r.o.Store.Update(ctx, func(tx store.Tx) error {
		return audit.Append(tx, api.AuditEntry{Time: now, Actor: actor, Action: action, Subject: subject, Before: before.Issuing, After: after.Issuing, Note: note})
	})
}

// Work retires the CA before the present one when its time is over. It is a job.
func (r *Rollover) Work(ctx context.Context) error {
	before := r.o.CA.Rollover()
	retired, err := r.o.CA.Retire(r.now())
	if err != nil || !retired {
		return err
	}
	return errors.Join(r.o.Changed(), r.record(ctx, audit.Platform, "ca.retired", before.Before, before, r.o.CA.Rollover()))
}
