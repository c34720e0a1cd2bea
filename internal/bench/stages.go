package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// timedCard is a SIM whose time is taken.
type timedCard struct {
	*vsim.Card
	took time.Duration
}

func (c *timedCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	start := time.Now()
	defer func() { c.took += time.Since(start) }()
	return c.Card.Transmit(ctx, command)
}

// timedPlatform is a platform whose time is taken, the way to it included.
type timedPlatform struct {
	*api.Client
	took time.Duration
}

func (p *timedPlatform) OpenRelay(ctx context.Context, o api.RelayOpen) (api.RelayStep, error) {
	start := time.Now()
	defer func() { p.took += time.Since(start) }()
	return p.Client.OpenRelay(ctx, o)
}

func (p *timedPlatform) AnswerRelay(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error) {
	start := time.Now()
	defer func() { p.took += time.Since(start) }()
	return p.Client.AnswerRelay(ctx, session, a)
}

// onboardingStages says where the time of an onboarding goes when nothing else is going on, and how
// many there could be if SIMs, agents and the network cost nothing.
func onboardingStages(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	const sims = 200
	states, err := oneFleet(ctx, r, 2*sims)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, kind := range kindsOfSIM(dir) {
		var whole, inSIM, atPlatform []float64
		for _, s := range states[i*sims : (i+1)*sims] {
			opened, err := kind.open(s)
			if err != nil {
				return nil, err
			}
			sim, platform := &timedCard{Card: opened}, &timedPlatform{Client: r.Agent}
			start := time.Now()
			d, err := device.New(ctx, sim)
			if err != nil {
				return nil, err
			}
			if _, err := d.Onboard(ctx, platform); err != nil {
				return nil, err
			}
			whole, inSIM, atPlatform = append(whole, ms(time.Since(start))), append(inSIM, ms(sim.took)), append(atPlatform, ms(platform.took))
			if err := opened.Close(); err != nil {
				return nil, err
			}
		}
		rows = append(rows, row{
			"one onboarding after the other, " + kind.name,
			fmt.Sprintf("median %.1f ms: %.1f ms in the SIM, %.1f ms at the platform and on the way to it (6 round trips, 4 commits)",
				median(whole), median(inSIM), median(atPlatform)), "",
		})
	}
	services, err := serviceRate(ctx, filepath.Join(dir, "services"))
	return append(rows, services), err
}

// serviceRate takes SIMs through the platform's services alone: each step of the walk with its
// commit, the lint and the signature; no secure channel, no HTTP, no SIM.
func serviceRate(ctx context.Context, dir string) (row, error) {
	const sims, atOnce = 2000, 32
	if err := os.Mkdir(dir, 0o700); err != nil {
		return row{}, err
	}
	w, err := fixture.Open(dir)
	if err != nil {
		return row{}, err
	}
	defer w.Store.Close()
	iccids, err := w.Import(ctx, "meters", sims)
	if err != nil {
		return row{}, err
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, iccid := range iccids {
		group.Go(func() error {
			_, err := w.Provision(ctx, iccid, iccid, 0)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return row{}, err
	}
	all := time.Since(start)
	key, err := fixture.Key()
	if err != nil {
		return row{}, err
	}
	signed, err := rate(500, func() error {
		_, err := w.CA.IssueServer([]string{"localhost"}, key)
		return err
	})
	return row{
		fmt.Sprintf("the platform's services alone, %d at once: four commits, lint and signature", atOnce),
		fmt.Sprintf("%.0f/s; lint and signature of a server certificate, one after the other: %.0f/s", sims/all.Seconds(), signed), "",
	}, err
}
