// Package rollover takes the platform from one CA to the next while everything goes on.
//
//	begin    the new CA is made; application servers learn of both CAs at once, SIMs of both roots
//	         when they come; the old CA still issues
//	finish   refused while a SIM does not hold the new root; from now on the new CA issues, and both
//	         are trusted until the last certificate of the old one has ended
//	retire   by itself: only the new one counts
//
// At every moment, a certificate that is in use is one of a CA that all who may see it know.
//
// A step is one transaction: the rows of the CAs, and the entry in the audit log. Every node works by the rows: it
// looks at them every second ([ca.CA.Refresh]), and what it has issued by an earlier step is not stored any more
// ([ca.Prepared.On]).
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
	// Changed is called after a step, for this node to take it over at once.
	Changed func(context.Context) error
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
		o.Changed = o.CA.Refresh
	}
	return &Rollover{o, clock.Of(o.Clock)}
}

// line is the CAs that count.
type line struct {
	step                  int64
	issuing, next, before *store.CA // nil: there is none
	anchors               string    // that SIMs are to hold
}

func read(tx store.Tx) (l line, err error) {
	if l.step, err = tx.CAStep(); err != nil {
		return l, err
	}
	rows, err := tx.CAs()
	l.anchors = ca.AnchorSet(rows)
	for i := range rows {
		switch rows[i].State {
		case store.CAIssuing:
			l.issuing = &rows[i]
		case store.CANext:
			l.next = &rows[i]
		case store.CABefore:
			l.before = &rows[i]
		}
	}
	return l, err
}

// Status tells where the rollover stands, and how many SIMs hold the present roots.
func (r *Rollover) Status(ctx context.Context) (s api.CARollover, err error) {
	err = r.o.Store.View(ctx, func(tx store.Tx) error {
		l, err := read(tx)
		if err != nil {
			return err
		}
		s = api.CARollover{State: api.NoRollover, Issuing: l.issuing.Name, CrossSigned: l.issuing.Cross != nil}
		switch {
		case l.next != nil:
			s.State, s.Next, s.Since, s.CrossSigned = api.RolloverBegun, l.next.Name, l.next.Since, l.next.Cross != nil
		case l.before != nil:
			s.State, s.Before, s.Since, s.Until = api.RolloverFinished, l.before.Name, l.before.Since, l.before.Until
		}
		s.Without, err = without(tx, l.anchors)
		return err
	})
	return s, err
}

// without counts the SIMs, by fleet, that hold other trust anchors than they should.
func without(tx store.Tx, anchors string) (by map[string]int, err error) {
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
				Campaign: api.Campaign{Fleet: f.Name, Kind: api.AnchorAll}, Anchors: anchors,
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
func (r *Rollover) Begin(ctx context.Context, actor string, why api.Change) (s api.CARollover, err error) {
	if err := transition.CheckChange(why); err != nil {
		return s, err
	}
	seen, err := r.look(ctx)
	if err != nil {
		return s, err
	}
	var made *ca.Made // before the transaction, so that nobody waits for keys in there
	if seen.next == nil && seen.before == nil {
		if made, err = r.o.CA.Make(*seen.issuing); err != nil {
			return s, err
		}
	}
	err = r.step(ctx, entry{actor, "ca.rollover-begun", why.Note}, func(tx store.Tx, l line) (*store.CA, error) {
		switch {
		case l.next != nil:
			return nil, nil
		case l.before != nil:
			return nil, refuse.Conflict("certificates of the CA before the present one are in use until %s", l.before.Until.Format(time.RFC3339))
		case l.step != seen.step:
			return nil, errMeanwhile
		}
		made.Row.Since = r.now().UTC()
		return &made.Row, errors.Join(made.Place(), tx.PutCA(made.Row))
	})
	if made != nil {
		err = errors.Join(err, made.Discard())
	}
	if err != nil {
		return s, err
	}
	return r.Status(ctx)
}

var errMeanwhile = refuse.Conflict("another step of the rollover was taken meanwhile: look where it stands")

// Finish lets the next CA issue. Unless it is forced, it is refused while a SIM lacks the new root: such
// a SIM would not know its servers any more. A repetition changes nothing.
func (r *Rollover) Finish(ctx context.Context, actor string, f api.FinishRollover) (s api.CARollover, err error) {
	if err := transition.CheckChange(f.Change); err != nil {
		return s, err
	}
	seen, err := r.look(ctx)
	if err == nil && seen.next != nil && !f.Force {
		err = r.mayFinish(ctx, seen)
	}
	if err != nil {
		return s, err
	}
	err = r.step(ctx, entry{actor, "ca.rollover-finished", f.Note}, func(tx store.Tx, l line) (*store.CA, error) {
		switch {
		case l.next == nil && l.before != nil:
			return nil, nil
		case l.next == nil:
			return nil, refuse.Conflict("no rollover of the CA has begun")
		case l.step != seen.step:
			return nil, errMeanwhile
		}
		// What is stored from now on was issued by the next one.
		now := r.now().UTC()
		until, err := tx.LastEnd()
		if err != nil {
			return nil, err
		}
		if least := now.Add(serverLifetime); until.Before(least) {
			until = least
		}
		l.issuing.State, l.issuing.Since, l.issuing.Until = store.CABefore, now, until.Truncate(time.Second).Add(time.Second)
		l.next.State, l.next.Since = store.CAIssuing, now
		return l.next, errors.Join(tx.PutCA(*l.issuing), tx.PutCA(*l.next))
	})
	if err != nil {
		return s, err
	}
	return r.Status(ctx)
}

// mayFinish refuses a step that would leave SIMs without a root that they need.
func (r *Rollover) mayFinish(ctx context.Context, l line) error {
	return r.o.Store.View(ctx, func(tx store.Tx) error {
		by, err := without(tx, l.anchors)
		left := 0
		for _, n := range by {
			left += n
		}
		if err == nil && left > 0 {
			err = refuse.Conflict("%d SIMs do not hold the new root yet, and would not know their servers any more: begin an anchor campaign for their fleets, wait, or force it", left)
		}
		return err
	})
}

// Abort gives up the next CA. A repetition changes nothing.
func (r *Rollover) Abort(ctx context.Context, actor string, why api.Change) (s api.CARollover, err error) {
	if err := transition.CheckChange(why); err != nil {
		return s, err
	}
	err = r.step(ctx, entry{actor, "ca.rollover-aborted", why.Note}, func(tx store.Tx, l line) (*store.CA, error) {
		switch {
		case l.next == nil && l.before != nil:
			return nil, refuse.Conflict("the rollover is finished, and the new CA issues: begin another")
		case l.next == nil:
			return nil, nil
		}
		l.next.State, l.next.Since = store.CAAborted, r.now().UTC()
		return l.next, tx.PutCA(*l.next)
	})
	if err != nil {
		return s, err
	}
	return r.Status(ctx)
}

// Work retires the CA before the present one when its time is over. It is a job.
func (r *Rollover) Work(ctx context.Context) error {
	now := r.now().UTC()
	due := func(l line) bool { return l.before != nil && !now.Before(l.before.Until) }
	if l, err := r.look(ctx); err != nil || !due(l) {
		return err
	}
	return r.step(ctx, entry{audit.Platform, "ca.retired", ""}, func(tx store.Tx, l line) (*store.CA, error) {
		if !due(l) { // another node has
			return nil, nil
		}
		l.before.State, l.before.Since = store.CARetired, now
		return l.before, tx.PutCA(*l.before)
	})
}

func (r *Rollover) look(ctx context.Context) (l line, err error) {
	err = r.o.Store.View(ctx, func(tx store.Tx) (err error) {
		l, err = read(tx)
		return err
	})
	return l, err
}

// entry is what the audit log says of a step.
type entry struct{ actor, action, note string }

// step changes the line in a transaction, and has the audit log say so. The function returns the CA that the step
// is about, nil if there is nothing to change.
func (r *Rollover) step(ctx context.Context, e entry, change func(store.Tx, line) (*store.CA, error)) error {
	var subject *store.CA
	err := r.o.Store.Update(ctx, func(tx store.Tx) error {
		l, err := read(tx)
		if err != nil {
			return err
		}
		before := l.issuing.Name
		if subject, err = change(tx, l); err != nil || subject == nil {
			return err
		}
		if l, err = read(tx); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{
			Time: r.now(), Actor: e.actor, Action: e.action, Subject: subject.Name, Before: before, After: l.issuing.Name, Note: e.note,
		})
	})
	if err != nil || subject == nil {
		return err
	}
	return r.o.Changed(ctx)
}
