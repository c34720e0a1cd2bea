// Package campaign does one thing with all SIMs of a fleet: rotates or renews their credentials,
// brings the platform's trust anchors to them, or revokes what they hold.
//
// SIMs come by themselves, so a campaign is no list of work but a wish: a SIM that holds a
// credential older than the campaign, or other trust anchors than the platform's, is due, and
// the relay asks at each visit ([Campaigns.Due]). What remains is read from the SIMs and credentials
// themselves, what is done is noted in the transaction that does it ([Met]). So
// nothing is done twice, nothing is forgotten in a restart, and a SIM that rotates for
// another reason meanwhile counts. To begin a campaign costs the same for ten SIMs and a million.
//
// Only a revocation needs no SIM: the platform works through it in small transactions
// ([Campaigns.Work]), each of which looks anew at what remains; two nodes at it at once are no harm.
// That is why there is no queue of jobs here: a queue beside the rows could disagree with them.
package campaign

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/idempotency"
	"github.com/simroot/simroot/internal/platform/page"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// Options are what [Campaigns] work with.
type Options struct {
	Store store.Store
	// Anchors names the set of trust anchors that SIMs are to hold now.
	Anchors func() string
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// Campaigns is safe for concurrent use.
type Campaigns struct {
	store   store.Store
	anchors func() string
	now     func() time.Time
	begun   chan struct{}
}

// Begun tells that there may be something for [Campaigns.Work].
func (k *Campaigns) Begun() <-chan struct{} { return k.begun }

// wake tells so, once what the context is of has been committed.
func (k *Campaigns) wake(ctx context.Context) error {
	return idempotency.After(ctx, func(context.Context) error {
		select {
		case k.begun <- struct{}{}:
		default:
		}
		return nil
	})
}

// New returns the campaigns of a store.
func New(o Options) *Campaigns {
	return &Campaigns{store: o.Store, anchors: o.Anchors, now: clock.Of(o.Clock), begun: make(chan struct{}, 1)}
}

// Create begins a campaign. A fleet has one at a time.
func (k *Campaigns) Create(ctx context.Context, actor string, r api.CampaignRequest) (c api.Campaign, err error) {
	if err := transition.CheckChange(api.Change{Reason: r.Reason, Note: r.Note}); err != nil {
		return c, err
	}
	if r.Reason != "" && r.Kind != api.RevokeAll {
		return c, refuse.BadRequest("reason: only a revocation has one")
	}
	now := k.now()
	err = k.store.Update(ctx, func(tx store.Tx) error {
		fleet, err := tx.Fleet(r.Fleet)
		if errors.Is(err, store.ErrNotFound) {
			return refuse.UnknownFleet(r.Fleet)
		}
		if err != nil {
			return err
		}
		if err := possible(r.Kind, fleet); err != nil {
			return err
		}
		open, err := tx.OpenCampaigns(r.Fleet)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return refuse.With(api.CodeAlreadyExists, http.StatusConflict,
				"campaign %s of fleet %s (%s) is %s: a fleet has one at a time; let it finish, or abort it", open[0].ID, r.Fleet, open[0].Kind, open[0].State)
		}
		c = api.Campaign{
			ID: newID(now), Fleet: r.Fleet, Kind: r.Kind, State: api.CampaignRunning, Canary: fleet.Profile.Canary,
			Reason: r.Reason, Note: r.Note, Actor: actor, Created: now, Updated: now,
		}
		if r.Canary != nil {
			c.Canary = *r.Canary
		}
		if c.Canary > 0 {
			n, err := tx.CampaignRemaining(store.CampaignSelection{Campaign: c, Canaries: true, Anchors: k.anchors()})
			if err != nil {
				return err
			}
			if n == 0 {
				return refuse.Conflict("canary: a share of %d percent of fleet %s holds no SIM that is concerned: take a larger share, or 0 for all at once", c.Canary, r.Fleet)
			}
		}
		if err := tx.InsertCampaign(c); err != nil {
			return err
		}
		if err := record(tx, actor, c, "", r.Note); err != nil {
			return err
		}
		return k.progress(tx, &c)
	})
	if err == nil {
		err = k.wake(ctx)
	}
	return c, err
}

// possible refuses what a fleet's SIMs cannot do.
func possible(kind api.CampaignKind, fleet api.Fleet) error {
	switch {
	case kind != api.RotateAll && kind != api.RenewAll && kind != api.AnchorAll && kind != api.RevokeAll:
		return refuse.BadRequest("kind %q: want %s, %s, %s or %s", kind, api.RotateAll, api.RenewAll, api.AnchorAll, api.RevokeAll)
	case kind == api.RenewAll && fleet.Profile.Type == api.PSKType:
		return refuse.BadRequest("kind %q: fleet %s has pre-shared keys, which are never given a second life: take %q", kind, fleet.Name, api.RotateAll)
	case kind == api.AnchorAll && (fleet.Profile.Type == api.PSKType || fleet.Profile.TrustAnchor == ""):
		return refuse.BadRequest("kind %q: the SIMs of fleet %s hold no trust anchor", kind, fleet.Name)
	}
	return nil
}

// record writes a change of a campaign down.
func record(tx store.Tx, actor string, c api.Campaign, before, note string) error {
	return audit.Append(tx, api.AuditEntry{
		Time: c.Updated, Actor: actor, Action: "campaign." + string(c.State), Subject: c.ID,
		Before: before, After: string(c.State) + " (" + string(c.Kind) + " fleet " + c.Fleet + ")", Note: note,
	})
}

// newID is an identifier that sorts by time: six bytes of milliseconds and four random ones.
func newID(now time.Time) string {
	var b [12]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:10])
}

// progress counts how far a campaign has come.
func (k *Campaigns) progress(tx store.Tx, c *api.Campaign) (err error) {
	p := &api.CampaignProgress{}
	c.Progress = p
	selection := store.CampaignSelection{Campaign: *c, Anchors: k.anchors()}
	if p.Done, err = tx.CountCampaignSIMs(c.ID, api.SIMDone); err != nil {
		return err
	}
	if p.Failed, err = tx.CountCampaignSIMs(c.ID, api.SIMFailed); err != nil {
		return err
	}
	if p.Remaining, err = tx.CampaignRemaining(selection); err != nil || c.Canary == 0 {
		return err
	}
	selection.Canaries = true
	p.Canaries, err = tx.CampaignRemaining(selection)
	return err
}

func find(tx store.Tx, id string) (api.Campaign, error) {
	c, err := tx.Campaign(id)
	if errors.Is(err, store.ErrNotFound) {
		return c, refuse.UnknownCampaign(id)
	}
	return c, err
}

// Campaign returns a campaign with its progress.
func (k *Campaigns) Campaign(ctx context.Context, id string) (c api.Campaign, err error) {
	err = k.store.View(ctx, func(tx store.Tx) (err error) {
		if c, err = find(tx, id); err != nil {
			return err
		}
		return k.progress(tx, &c)
	})
	return c, err
}

// List lists campaigns, older ones first; those of one fleet, if one is named.
func (k *Campaigns) List(ctx context.Context, fleet, after string, limit int) (api.Page[api.Campaign], error) {
	return page.View(ctx, k.store, limit, func(tx store.Tx, most int) ([]api.Campaign, error) {
		return tx.ListCampaigns(fleet, after, most)
	}, page.Same[api.Campaign], func(c api.Campaign) string { return c.ID })
}

// Results lists what has become of the SIMs that have come, by ICCID.
func (k *Campaigns) Results(ctx context.Context, id string, state api.CampaignSIMState, after string, limit int) (api.Page[api.CampaignSIM], error) {
	return page.View(ctx, k.store, limit, func(tx store.Tx, most int) ([]api.CampaignSIM, error) {
		if _, err := find(tx, id); err != nil {
			return nil, err
		}
		return tx.ListCampaignSIMs(id, state, after, most)
	}, page.Same[api.CampaignSIM], func(s api.CampaignSIM) string { return s.ICCID })
}

// Change does something to a campaign. A repetition changes nothing.
func (k *Campaigns) Change(ctx context.Context, actor, id string, verb api.CampaignVerb, why api.Change) (c api.Campaign, err error) {
	if err := transition.CheckChange(why); err != nil {
		return c, err
	}
	now := k.now()
	err = k.store.Update(ctx, func(tx store.Tx) error {
		if c, err = find(tx, id); err != nil {
			return err
		}
		if err := change(tx, now, actor, &c, verb, why.Note); err != nil {
			return err
		}
		return k.progress(tx, &c)
	})
	if err == nil {
		err = k.wake(ctx)
	}
	return c, err
}

func change(tx store.Tx, now time.Time, actor string, c *api.Campaign, verb api.CampaignVerb, note string) error {
	before := *c
	to := map[api.CampaignVerb]api.CampaignState{
		api.CampaignPause: api.CampaignPaused, api.CampaignResume: api.CampaignRunning, api.CampaignAbort: api.CampaignAborted,
	}[verb]
	switch {
	case to != "" && c.State == to:
		return nil
	case c.State == api.CampaignFinished || c.State == api.CampaignAborted:
		return refuse.Conflict("campaign %s is %s: begin another", c.ID, c.State)
	case to != "":
		c.State = to
	case verb == api.CampaignProceed:
		if c.Canary == 0 {
			return nil
		}
		c.Canary = 0
	case verb == api.CampaignRetry:
		if n, err := tx.ForgetFailed(c.ID); err != nil || n == 0 {
			return err
		}
	default:
		return refuse.BadRequest("%q is nothing that can be done to a campaign", verb)
	}
	c.Updated = now
	if err := tx.UpdateCampaign(*c); err != nil {
		return err
	}
	if to == "" { // its state is the same
		note = string(verb) + ": " + note
	}
	return record(tx, actor, *c, string(before.State), note)
}
