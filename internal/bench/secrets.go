package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// secretRate measures how fast a new application server has the secrets of SIMs with PSKs: each is
// opened, sealed and noted in the audit log by the platform, one request for each.
func secretRate(ctx context.Context, r *rig.Rig, dir string) (rows []row, err error) {
	const fleet, sims, atOnce = "tags", 1000, 32
	if err := r.Fleet(ctx, fleet, api.Profile{Type: api.PSKType}); err != nil {
		return nil, err
	}
	numbers := make([]string, sims)
	for i := range numbers {
		numbers[i] = iccid(i, fleet)
	}
	states, err := r.SIMs(ctx, fleet, "type2", numbers...)
	if err != nil {
		return nil, err
	}
	cards := make([]*vsim.Card, sims)
	for i := range cards {
		cards[i] = vsim.NewMemory(states[i])
	}
	if _, err := onboardAll(ctx, r, cards, atOnce); err != nil {
		return nil, err
	}
	begun := time.Now()
	m, err := r.Middleware(ctx, filepath.Join(dir, "server"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.SecretsReady(ctx); err != nil {
		return nil, err
	}
	return []row{{
		fmt.Sprintf("a new application server fetches the secrets of %d PSKs", sims),
		fmt.Sprintf("%.0f/s", sims/time.Since(begun).Seconds()), "",
	}}, nil
}
