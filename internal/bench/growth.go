package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/internal/platform/store"
)

// Sizes of what growth compares, in SIMs; each has two credentials.
const (
	smallStore = 10_000
	growthRuns = 400 // of each thing, in turns
)

// world is a platform's services over a store of a certain size.
type world struct {
	*fixture.World
	sims []string // fresh ones, to be onboarded
	done []string // credentials to be revoked
}

// growth measures what an operator does often on a small and on a large store, in turns.
func growth(ctx context.Context, large int) (err error) {
	dir, err := os.MkdirTemp("", "simroot-growth-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	small, err := openWorld(ctx, filepath.Join(dir, "small"), smallStore)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.Store.Close()) }()
	began := time.Now()
	big, err := openWorld(ctx, filepath.Join(dir, "large"), large)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, big.Store.Close()) }()
	fmt.Fprintf(os.Stderr, "filled with %d SIMs in %s\n", large, time.Since(began).Round(time.Second))
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var rows []row
	for _, m := range growthMeasures(large) {
		var times [2][]float64
		for run := range growthRuns {
			for i, w := range []*world{small, big} {
				begin := time.Now()
				if err := m.once(ctx, w, run); err != nil {
					return fmt.Errorf("%s: %w", m.what, err)
				}
				times[i] = append(times[i], ms(time.Since(begin)))
			}
		}
		a, b := median(times[0]), median(times[1])
		rows = append(rows, row{m.what, fmt.Sprintf("median %.3f ms against %.3f ms: %.2f ×", b, a, b/a), "≤ 1.1 ×"})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	rows = append(rows, row{"memory of the program in use before and after, both stores open",
		fmt.Sprintf("%.1f MB, %.1f MB", float64(before.HeapAlloc)/1e6, float64(after.HeapAlloc)/1e6), "flat"})
	fmt.Printf("| With %d SIMs and %d credentials against %d and %d | Measured | Goal |\n| --- | --- | --- |\n", large, 2*large, smallStore, 2*smallStore)
	for _, r := range rows {
		fmt.Printf("| %s | %s | %s |\n", r.what, r.measured, r.goal)
	}
	return nil
}

// growthMeasure is one thing to do once on either store.
type growthMeasure struct {
	what string
	once func(ctx context.Context, w *world, run int) error
}

func growthMeasures(large int) []growthMeasure {
	sims := func(f registry.Filter, after string) func(context.Context, *world, int) error {
		return func(ctx context.Context, w *world, _ int) error {
			p, err := w.Registry.SIMs(ctx, f, after, 100)
			return fullPage(len(p.Items), err)
		}
	}
	credentials := func(f credential.Filter, want int) func(context.Context, *world, int) error {
		return func(ctx context.Context, w *world, _ int) error {
			p, err := w.Life.Credentials(ctx, f, "", 100)
			if want < 100 && err == nil && len(p.Items) >= want {
				return nil
			}
			return fullPage(len(p.Items), err)
		}
	}
	return []growthMeasure{
		{"onboarding a new SIM (all steps of the platform, synced)", func(ctx context.Context, w *world, run int) error {
			c, err := w.Provision(ctx, fixture.Session, w.sims[run], 0)
			w.done = append(w.done, c.ID)
			return err
		}},
		{"revoking a credential, synced", func(ctx context.Context, w *world, run int) error {
			_, err := w.Life.Revoke(ctx, "bench", w.done[run], api.Change{})
			return err
		}},
		{"a page of 100 SIMs", sims(registry.Filter{}, "")},
		{"a page of 100 SIMs of a fleet", sims(registry.Filter{Fleet: "meters"}, "")},
		{"a page of 100 SIMs in one state", sims(registry.Filter{State: api.Provisioned}, "")},
		{"a page of 100 SIMs, from the middle", sims(registry.Filter{}, iccid(smallStore/2, "meters"))},
		{"a page of 100 credentials", credentials(credential.Filter{}, 100)},
		{"a page of 100 credentials of a fleet", credentials(credential.Filter{Fleet: "meters"}, 100)},
		{"a page of 100 credentials that are revoked", credentials(credential.Filter{State: api.Revoked}, 100)},
		{"the credentials of a SIM", credentials(credential.Filter{ICCID: iccid(smallStore/2, "meters")}, 2)},
		{"the delta of the revocation list", func(ctx context.Context, w *world, _ int) error { _, err := w.CRL.Delta(ctx, 1); return err }},
	}
}

func fullPage(n int, err error) error {
	if err == nil && n != 100 {
		err = fmt.Errorf("a page of %d: want 100", n)
	}
	return err
}

// openWorld makes a world with so many SIMs, each with a superseded and an active certificate.
func openWorld(ctx context.Context, dir string, sims int) (*world, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	inner, err := fixture.Open(dir)
	if err != nil {
		return nil, err
	}
	w := &world{World: inner}
	if err := fill(ctx, w.Store, "meters", sims); err != nil {
		return nil, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	for from := 0; from < sims; from += fillStep {
		if err := w.Store.Update(ctx, func(tx store.Tx) error {
			for n := from; n < min(from+fillStep, sims); n++ {
				c := stored("meters", n, now)
				c.State, c.Serial, c.Slot = api.Superseded, "f"+c.Serial, 1
				c.ID = fmt.Sprintf("%012x%020x", 0x0197_0000_0000, n)
				if err := tx.InsertCredential(c); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	w.sims, err = w.Import(ctx, "meters", growthRuns)
	return w, err
}
