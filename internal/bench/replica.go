package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/rig"
)

// replicaScale measures an application server's replica beside a platform with a million
// credentials in its store: how long the first state takes, what it costs in memory, a look-up,
// a start from disk, and the catching up after an absence.
func replicaScale(ctx context.Context, r *rig.Rig, dir string) (rows []row, err error) {
	const count, changes, fleet = 1_000_000, 100_000, "meters"
	if err := r.Fleet(ctx, fleet, api.Profile{}); err != nil {
		return nil, err
	}
	filling := newLap()
	if err := withStore(ctx, r, func(s store.Store) error { return fill(ctx, s, fleet, count) }); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "  the store is filled: %s\n", filling)
	dir += "/replica"
	before := heap()
	lap := newLap()
	m, err := r.Middleware(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	rows = append(rows, row{"the first state of 1,000,000 credentials, platform and application server on this machine", lap.String(), "≤ 60 s"})
	for m.Synced().DiskErr != nil { // until the state is on disk: a heartbeat looks after that
		time.Sleep(100 * time.Millisecond)
	}
	rows = append(rows,
		row{"the same → on disk", lap.String(), ""},
		row{"memory for each credential, its SIM included", fmt.Sprintf("%.0f bytes", float64(heap()-before)/count), "≤ 200 bytes"})

	prints := make([]appserver.Fingerprint, 200_000)
	for i := range prints {
		prints[i] = appserver.Fingerprint(stored(fleet, rand.N(count), time.Time{}).Fingerprint)
	}
	var each []float64
	busy := spent()
	for part := range 100 {
		begun := time.Now()
		const per = 2000
		for i := range per {
			if _, err := m.Lookup(prints[part*per+i]); err != nil {
				return nil, err
			}
		}
		each = append(each, float64(time.Since(begun).Nanoseconds())/per)
	}
	rows = append(rows, row{"look-up of one of them", fmt.Sprintf("median %.0f ns (%.0f ns of processor time)", median(each), float64((spent()-busy).Nanoseconds())/float64(len(prints))), "≤ 1 µs"})

	if err := m.Close(); err != nil {
		return nil, err
	}
	if err := withStore(ctx, r, func(s store.Store) error { return revokeStored(ctx, s, fleet, changes) }); err != nil {
		return nil, err
	}
	lap = newLap()
	if m, err = r.OpenMiddleware(ctx, dir); err != nil {
		return nil, err
	}
	if _, err := m.Lookup(prints[0]); errors.Is(err, appserver.ErrNotReady) || errors.Is(err, appserver.ErrUnknown) {
		return nil, fmt.Errorf("after the start from disk: %w", err)
	}
	rows = append(rows, row{"start from disk", lap.String(), ""})
	lap = newLap()
	if err := m.Ready(ctx); err != nil {
		return nil, err
	}
	rows = append(rows, row{"catching up 100,000 changes after it", lap.String(), "≤ 10 s"})
	if _, err := m.Lookup(appserver.Fingerprint(stored(fleet, changes-1, time.Time{}).Fingerprint)); !errors.Is(err, appserver.ErrRevoked) {
		return nil, fmt.Errorf("the last change: got %w, want that it is revoked", err)
	}
	return rows, nil
}

// lap is a time on the wall and a time of this process's on all processors: what others do on
// the machine shows in the first only.
type lap struct {
	begun time.Time
	spent time.Duration
}

func newLap() lap { return lap{time.Now(), spent()} }

func (l lap) String() string {
	return fmt.Sprintf("%.1f s (%.1f s of processor time)", time.Since(l.begun).Seconds(), (spent() - l.spent).Seconds())
}

func spent() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// heap is how many bytes of the heap are in use.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapInuse)
}
