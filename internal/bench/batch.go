package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/rig"
)

var batchSIMs = flag.Int("batch-sims", 200_000, "SIMs in the large batch")

// importScale measures the import of a batch of SIMs, small and large: the rate, and how much memory
// of this process, in which the platform and the client are, it takes. A batch before both fills
// the database's page cache, which is no part of what grows with a batch.
func importScale(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	return importInto(ctx, r, dir, ownCPU)
}

// importInto is importScale on any store. CPU is the processor time of all that takes part.
func importInto(ctx context.Context, r *rig.Rig, dir string, cpu func() (time.Duration, error)) ([]row, error) {
	const fleet = "batches"
	if err := r.Fleet(ctx, fleet, api.Profile{}); err != nil {
		return nil, err
	}
	next := 0
	measure := func(count int) (imported, error) {
		result, err := importBatch(ctx, r, dir, fleet, next, count)
		next += count
		return result, err
	}
	first, err := measure(100_000)
	if err != nil {
		return nil, err
	}
	small, err := measure(10_000)
	if err != nil {
		return nil, err
	}
	before, err := cpu()
	if err != nil {
		return nil, err
	}
	large, err := measure(*batchSIMs)
	if err != nil {
		return nil, err
	}
	after, err := cpu()
	if err != nil {
		return nil, err
	}
	return []row{
		{fmt.Sprintf("import of %d SIMs in one batch", *batchSIMs), fmt.Sprintf("%.0f/s (of 10000: %.0f/s); others wait at most %s for a commit meanwhile; %d µs of processor each to seal it, send it and import it", large.rate, small.rate, large.wait.Round(time.Millisecond),
			(after-before).Microseconds()/int64(*batchSIMs)), "≥ 5000/s: ≤ 400 µs on two cores"},
		{"memory of the process at most, beside that of a batch of 10000", fmt.Sprintf("%.0f MB beside %.0f MB: %.2f × (%.0f MB with the very first batch, of 100000); of it live objects of Go %.1f MB beside %.1f MB, and outside of Go's heap, which is the program and SQLite's page caches, %.0f MB beside %.0f MB",
			large.memory.resident, small.memory.resident, large.memory.resident/small.memory.resident, first.memory.resident,
			large.memory.live, small.memory.live, large.memory.outside, small.memory.outside), "≤ 1.1 ×"},
	}, nil
}

type imported struct {
	rate   float64
	memory memory // at most
	wait   time.Duration
}

func importBatch(ctx context.Context, r *rig.Rig, dir, fleet string, from, count int) (result imported, err error) {
	file := filepath.Join(dir, "batch")
	if err := writeBatch(ctx, r, file, fleet, from, count); err != nil {
		return result, err
	}
	batch, err := os.Open(file)
	if err != nil {
		return result, err
	}
	defer batch.Close()
	debug.FreeOSMemory()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var watch errgroup.Group
	watch.Go(func() error { // what others of the platform feel
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(100 * time.Millisecond):
			}
			now, err := readMemory()
			if err != nil {
				return err
			}
			result.memory = result.memory.most(now)
			begun := time.Now()
			if err := r.Fleet(ctx, fmt.Sprintf("beside-%d-%d", from, n), api.Profile{}); err != nil && ctx.Err() == nil {
				return err
			}
			result.wait = max(result.wait, time.Since(begun))
		}
	})
	begun := time.Now()
	answer, err := r.Admin.Import(ctx, fleet, batch)
	result.rate = float64(count) / time.Since(begun).Seconds()
	if err == nil && answer.Imported != count {
		err = fmt.Errorf("%d SIMs were imported, want %d", answer.Imported, count)
	}
	cancel()
	return result, errors.Join(err, watch.Wait())
}

// writeBatch writes a batch file.
func writeBatch(ctx context.Context, r *rig.Rig, file, fleet string, from, count int) error {
	key, err := r.Admin.TransportKey(ctx)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := api.NewBatchWriter(f, key.Key)
	if err != nil {
		return err
	}
	const step = 1000
	for done := 0; done < count; done += step {
		var some []api.PlainSIM
		for n := done; n < min(done+step, count); n++ {
			some = append(some, plainSIM(iccid(from+n, fleet)))
		}
		if err := w.Add(some...); err != nil {
			return err
		}
	}
	return errors.Join(w.Close(), f.Close())
}

func plainSIM(iccid string) api.PlainSIM {
	key := []byte(iccid + "0123456789")[:16]
	return api.PlainSIM{
		ICCID: iccid, KeyVersion: 0x30, Domain: []byte{0xA0, 0x00, 0x00, 0x01, 0x51, 0x00, 0x00, 0x00},
		ENC: key, MAC: key, DEK: key,
	}
}
