package main

import (
	"context"
	"fmt"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/rig"
)

// campaignSIMs is how many credentials the campaign revokes.
const campaignSIMs = 100_000

// campaignTime measures a campaign that revokes a whole fleet, from the call to its end.
func campaignTime(ctx context.Context, r *rig.Rig, _ string) ([]row, error) {
	const fleet = "meters"
	if err := r.Fleet(ctx, fleet, api.Profile{}); err != nil {
		return nil, err
	}
	if err := withStore(ctx, r, func(s store.Store) error { return fill(ctx, s, fleet, campaignSIMs) }); err != nil {
		return nil, err
	}
	begun := time.Now()
	c, err := r.Admin.CreateCampaign(ctx, api.CampaignRequest{Fleet: fleet, Kind: api.RevokeAll})
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(time.Second) // to ask counts what remains
	defer tick.Stop()
	for c.State != api.CampaignFinished {
		<-tick.C
		if c, err = r.Admin.Campaign(ctx, c.ID); err != nil {
			return nil, err
		}
	}
	took := time.Since(begun)
	if c.Progress.Done != campaignSIMs {
		return nil, fmt.Errorf("%d of %d SIMs are revoked", c.Progress.Done, campaignSIMs)
	}
	return []row{{fmt.Sprintf("a campaign revokes %d credentials", campaignSIMs), took.Round(100 * time.Millisecond).String(), "≤ 60 s"}}, nil
}
