package campaign

import (
	"context"
	"errors"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// workGroup is how many SIMs one transaction revokes: few enough that an onboarding, which waits
// for it, does not notice.
const workGroup = 100

// Work does what campaigns have to do without SIMs, until there is nothing left or ctx ends: it
// revokes, lets campaigns out of their canary share, and finishes them. It is a job, to be run
// every few seconds, and may be stopped anywhere.
func (k *Campaigns) Work(ctx context.Context) error {
	var open []api.Campaign
	err := k.store.View(ctx, func(tx store.Tx) (err error) {
		open, err = tx.OpenCampaigns("")
		return err
	})
	for _, c := range open {
		if c.State != api.CampaignRunning {
			continue
		}
		for more := true; more && err == nil; {
			more, err = k.step(ctx, c.ID)
		}
	}
	return err
}

// step takes a campaign one transaction further, and tells whether there is more to do now.
func (k *Campaigns) step(ctx context.Context, id string) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, context.Cause(ctx)
	}
	now := k.now()
	// Looked at beforehand: most often there is nothing to disturb the writer for.
	idle := false
	err = k.store.View(ctx, func(tx store.Tx) error {
		c, err := find(tx, id)
		if err != nil {
			return err
		}
		some, err := tx.CampaignNext(k.selection(c), 1) // to count them all would cost each step as much as the whole
		idle = c.State != api.CampaignRunning || len(some) > 0 && c.Kind != api.RevokeAll
		return err
	})
	if err != nil || idle {
		return false, err
	}
	err = k.store.Update(ctx, func(tx store.Tx) error {
		c, err := find(tx, id)
		if err != nil || c.State != api.CampaignRunning {
			return err
		}
		next, err := tx.CampaignNext(k.selection(c), workGroup)
		if err != nil {
			return err
		}
		if len(next) > 0 {
			if more = c.Kind == api.RevokeAll; !more {
				return nil
			}
			why := transition.Cause{Time: now, Actor: c.Actor, Note: c.Note}
			for _, iccid := range next {
				if err := revoke(tx, why, c, iccid); err != nil {
					return err
				}
			}
			return nil
		}
		before := string(c.State)
		c.Updated = now
		note := "all canaries are done"
		if more = c.Canary > 0; more {
			c.Canary = 0
		} else {
			c.State, note = api.CampaignFinished, "nothing remains"
		}
		if err := tx.UpdateCampaign(c); err != nil {
			return err
		}
		return record(tx, audit.Platform, c, before, note)
	})
	return more && err == nil, err
}

func (k *Campaigns) selection(c api.Campaign) store.CampaignSelection {
	return store.CampaignSelection{Campaign: c, Canaries: c.Canary > 0, Anchors: k.anchors()}
}

// revoke revokes what a SIM holds, and what is under way to it.
func revoke(tx store.Tx, why transition.Cause, c api.Campaign, iccid string) error {
	all, err := tx.CredentialsOf(iccid, why.Time)
	if err != nil {
		return err
	}
	reason := c.Reason
	if reason == "" {
		reason = api.ReasonUnspecified
	}
	last := ""
	for i := range all {
		if all[i].State == api.Active {
			last = all[i].ID
		}
		if err := transition.Revoke(tx, why, &all[i], reason); err != nil {
			return err
		}
	}
	if last == "" {
		return errors.New("campaign: SIM " + iccid + " remains and has no active credential")
	}
	return done(tx, c.ID, iccid, last, why.Time)
}
