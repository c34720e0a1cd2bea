package campaign

import (
	"context"
	"errors"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// Wish is what a campaign wants of a SIM that has come. The zero one is nothing.
type Wish struct {
	Campaign string
	Kind     api.CampaignKind
}

// Replaces tells whether the SIM is to get another credential.
func (w Wish) Replaces() bool { return w.Kind == api.RotateAll || w.Kind == api.RenewAll }

// Due tells what is wanted of a SIM with the given active credential.
func (k *Campaigns) Due(ctx context.Context, s api.SIM, active api.Credential) (wish Wish, err error) {
	err = k.store.View(ctx, func(tx store.Tx) error {
		open, err := tx.OpenCampaigns(s.Fleet)
		if err != nil {
			return err
		}
		for _, c := range open {
			if c.State != api.CampaignRunning || c.Kind == api.RevokeAll || c.Canary > 0 && !isCanary(s.ICCID, c.Canary) {
				continue
			}
			if c.Kind == api.AnchorAll {
				row, err := tx.SIM(s.ICCID)
				if err != nil {
					return err
				}
				if row.Anchors == k.anchors() {
					continue
				}
			} else if !concerned(c, active) {
				continue
			}
			result, err := tx.CampaignSIM(c.ID, s.ICCID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if result.State != api.SIMFailed {
				wish = Wish{c.ID, c.Kind}
				return nil
			}
		}
		return nil
	})
	return wish, err
}

// isCanary is the rule of the rows that [store.Campaigns] counts.
func isCanary(iccid string, share int) bool {
	if len(iccid) < 3 {
		return false
	}
	tens, units := iccid[len(iccid)-3], iccid[len(iccid)-2]
	return int(tens-'0')*10+int(units-'0') < share
}

// concerned tells whether a credential in use is one that a campaign wants replaced.
func concerned(c api.Campaign, active api.Credential) bool {
	return active.Fleet == c.Fleet && active.Created.Before(c.Created)
}

// Met notes, in the transaction in which a credential takes the place of another, that this is what
// a campaign wanted.
func Met(tx store.Tx, now time.Time, before, after api.Credential) error {
	open, err := tx.OpenCampaigns(before.Fleet)
	if err != nil {
		return err
	}
	for _, c := range open {
		if c.Kind == api.AnchorAll || c.Kind == api.RevokeAll || !concerned(c, before) || concerned(c, after) {
			continue
		}
		if err := done(tx, c.ID, after.ICCID, after.ID, now); err != nil {
			return err
		}
	}
	return nil
}

// done notes that a SIM is through, and keeps what had failed before.
func done(tx store.Tx, campaign, iccid, credential string, now time.Time) error {
	result, err := tx.CampaignSIM(campaign, iccid)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	result.ICCID, result.State, result.Credential, result.Problem, result.Updated = iccid, api.SIMDone, credential, "", now
	return tx.SetCampaignSIM(campaign, result)
}

// Anchored notes that a SIM holds the given set of trust anchors.
func (k *Campaigns) Anchored(ctx context.Context, iccid, anchors string) error {
	now := k.now()
	var known string
	err := k.store.View(ctx, func(tx store.Tx) error {
		s, err := tx.SIM(iccid)
		known = s.Anchors
		return err
	})
	if err != nil || known == anchors { // most often
		return err
	}
	return k.store.Update(ctx, func(tx store.Tx) error {
		s, err := tx.SIM(iccid)
		if err != nil || s.Anchors == anchors {
			return err
		}
		if err := Anchored(tx, now, &s, anchors); err != nil {
			return err
		}
		return tx.UpdateSIM(s)
	})
}

// Anchored is [Campaigns.Anchored] in a transaction that stores the SIM's row afterwards.
func Anchored(tx store.Tx, now time.Time, s *store.SIM, anchors string) error {
	if s.Anchors == anchors {
		return nil
	}
	s.Anchors = anchors
	open, err := tx.OpenCampaigns(s.Fleet)
	for _, c := range open {
		if c.Kind == api.AnchorAll && err == nil {
			err = done(tx, c.ID, s.ICCID, "", now)
		}
	}
	return err
}

// Failed notes that a SIM has come, and that what was wanted of it has not worked.
func (k *Campaigns) Failed(ctx context.Context, w Wish, iccid, problem string) error {
	now := k.now()
	return k.store.Update(ctx, func(tx store.Tx) error {
		result, err := tx.CampaignSIM(w.Campaign, iccid)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if result.State == api.SIMDone {
			return nil
		}
		result.ICCID, result.State, result.Problem, result.Updated = iccid, api.SIMTrying, problem, now
		if result.Attempts++; result.Attempts >= api.CampaignAttempts {
			result.State = api.SIMFailed
		}
		return tx.SetCampaignSIM(w.Campaign, result)
	})
}
