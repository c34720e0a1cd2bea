package beside

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
)

// Options configures [New].
type Options struct {
	// Middleware tells what is accepted.
	Middleware *appserver.Middleware
	// Platform gives the CA certificates and the CRLs.
	Platform *api.Client
	// Dir is where the server's files go. It is created if need be.
	Dir string
	// Server is the kind of server.
	Server Server

	Logger *slog.Logger // nil: [slog.Default]
}

// Keeper keeps one server in step.
type Keeper struct {
	m      *appserver.Middleware
	dir    string
	server Server
	log    *slog.Logger

	// Of Prepare and Run.
	authorities authorities
	unread      map[string]struct{} // files that the server has not read since they changed
	names       map[string]struct{} // of all files
	cut         bool                // EndAll was done for a replica that is too old
	later       map[string]struct{} // SIMs to be ended once more, under files that are up to date
	unwritten   bool                // a file could not be written

	mu      sync.Mutex
	all     bool                // every SIM may have changed
	changed map[string]struct{} // SIMs whose connections are to be ended
	barred  map[string]struct{} // as in the files
	wake    chan struct{}
}

// The intervals of what no event triggers, and the bounds of waits.
const (
	// refreshEvery is how often CA certificates and CRLs are fetched though nothing changed.
	refreshEvery = 10 * time.Minute
	// staleEvery is how often the age of the replica is looked at.
	staleEvery = time.Second
	// lookEvery is how often a server is asked whether it is still the one that read the files.
	lookEvery = 5 * time.Second
	// retryAfter is the wait after a failure.
	retryAfter = time.Second
	// fetchTimeout keeps a platform that does not answer from holding up the end of a connection.
	fetchTimeout = 500 * time.Millisecond
)

// New returns a keeper. It does nothing yet.
func New(o Options) (*Keeper, error) {
	if o.Middleware == nil || o.Platform == nil || o.Server == nil || o.Dir == "" {
		return nil, errors.New("beside: Options need Middleware, Platform, Dir and Server")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Keeper{
		m: o.Middleware, dir: dir, server: o.Server, log: o.Logger,
		authorities: authorities{platform: o.Platform}, unread: make(map[string]struct{}),
		names: make(map[string]struct{}), later: make(map[string]struct{}),
		changed: make(map[string]struct{}), barred: make(map[string]struct{}), wake: make(chan struct{}, 1),
	}, nil
}

// Prepare writes the files without which the server does not start. It waits until the
// middleware has caught up with the platform.
func (k *Keeper) Prepare(ctx context.Context) error {
	if err := k.m.Ready(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(k.dir, 0o750); err != nil {
		return err
	}
	err := k.writeFiles(ctx, true)
	sweep(k.dir, k.names)
	return err
}

// writeFiles brings the files up to date, as far as possible even if something fails.
func (k *Keeper) writeFiles(ctx context.Context, cas bool) (err error) {
	if cas || k.authorities.cas == nil {
		err = k.authorities.fetchCAs(ctx)
	}
	err = errors.Join(err, k.authorities.fetchCRLs(ctx))
	status := k.m.Synced()
	state := State{
		CAs: k.authorities.cas, CRLs: k.authorities.crls, Barred: k.m.Barred(),
		Refuse: status.Stale || status.Cut, Cut: status.Cut,
	}
	k.mu.Lock()
	clear(k.barred)
	for _, iccid := range state.Barred {
		k.barred[iccid] = struct{}{}
	}
	k.mu.Unlock()
	files, failed := k.server.Files(state)
	err = errors.Join(err, failed)
	k.unwritten = false
	for _, f := range files {
		k.names[f.Name] = struct{}{}
		changed, failed := replace(k.dir, f)
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s stays as it was: %w", f.Name, failed))
			k.unwritten = true
		}
		if changed || failed != nil { // the server may have a way around the disk
			k.unread[f.Name] = struct{}{}
		}
		if f.Secret {
			clear(f.Content)
		}
	}
	return err
}

// Run prepares the files and keeps the server in step until ctx ends, whose cause it
// returns. The server may start, stop and start again meanwhile. At the beginning the
// connections of all barred SIMs are ended, for they may date from before.
func (k *Keeper) Run(ctx context.Context) error {
	if err := k.Prepare(ctx); err != nil {
		return err
	}
	maps.Copy(k.unread, k.names) // the server may run since before they changed
	k.again(true, nil)
	stop := k.m.Watch(k.note)
	defer stop()
	var reported string
	refresh := time.Now().Add(refreshEvery)
	was := k.m.Synced()
	for cas := true; ; {
		known := k.m.ClientCAs() // before anything is fetched: what changes meanwhile is seen by await
		err := k.update(ctx, cas)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case err != nil && err.Error() != reported:
			k.log.Error("the server is not in step; trying on", "dir", k.dir, "error", err)
			reported = err.Error()
		case err == nil && reported != "":
			k.log.Info("the server is in step again", "dir", k.dir)
			reported = ""
		}
		due := k.due(refresh)
		if err != nil {
			due = time.Now().Add(retryAfter)
		}
		if !k.await(ctx, due, &was, known) {
			return context.Cause(ctx)
		}
		if cas = err != nil && cas || !time.Now().Before(refresh); cas {
			refresh = time.Now().Add(refreshEvery)
		}
	}
}

// await waits until there is something to do: a change, another view on the age of the replica, other CAs, or
// the given time. Was and known are what the files were made for. It tells whether ctx goes on.
func (k *Keeper) await(ctx context.Context, due time.Time, was *appserver.Status, known *x509.CertPool) bool {
	look := time.Now().Add(lookEvery)
	for {
		timer := time.NewTimer(min(time.Until(due), staleEvery))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-k.wake:
			timer.Stop()
			return true
		case <-timer.C:
			s := k.m.Synced()
			turned := s.Stale != was.Stale || s.Cut != was.Cut
			*was = s
			if turned || k.m.ClientCAs() != known || !time.Now().Before(due) {
				return true
			}
			if time.Now().Before(look) {
				continue
			}
			look = time.Now().Add(lookEvery)
			if err := k.server.Reload(ctx, nil); err != nil {
				maps.Copy(k.unread, k.names)
				return true // to find out what is wrong
			}
		}
	}
}

// due is when the files must be looked at again: the CRLs well before they end, for then
// the server would refuse everyone.
func (k *Keeper) due(refresh time.Time) time.Time {
	due := refresh
	if ends := k.authorities.crlEnds; !ends.IsZero() {
		if half := time.Now().Add(max(time.Until(ends)/2, retryAfter)); half.Before(due) {
			due = half
		}
	}
	if len(k.unread) > 0 {
		if next := time.Now().Add(retryAfter); next.Before(due) {
			due = next
		}
	}
	return due
}

// note takes up a change, if it is one that the server must learn of.
func (k *Keeper) note(c appserver.Change) {
	k.mu.Lock()
	_, was := k.barred[c.ICCID]
	switch {
	case c.ICCID == "":
		k.all = true
	case c.Barred || c.Revoked:
		k.changed[c.ICCID] = struct{}{}
	case !was && !k.server.Concerns(c):
		k.mu.Unlock()
		return
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// update writes the files, makes the server read them, and ends connections, in this order.
func (k *Keeper) update(ctx context.Context, cas bool) error {
	k.mu.Lock()
	all, ending := k.all, k.changed
	k.all, k.changed = false, make(map[string]struct{})
	k.mu.Unlock()

	fetching, cancel := context.WithTimeout(ctx, fetchTimeout)
	err := k.writeFiles(fetching, cas)
	cancel()
	switch {
	case k.unwritten: // who comes back meets the old rules, and must go again
		defer k.again(false, maps.Clone(ending))
	case err != nil: // once more is enough, and one that has a new credential is not bothered further
		maps.Copy(k.later, ending)
	default:
		maps.Copy(ending, k.later)
		clear(k.later)
	}
	if failed := k.reload(ctx); failed != nil {
		k.again(all, ending)
		return errors.Join(err, failed)
	}
	if all { // those that the files are about: who is barred since is among the changes, and comes next
		k.mu.Lock()
		maps.Copy(ending, k.barred)
		k.mu.Unlock()
	}
	for _, iccid := range slices.Sorted(maps.Keys(ending)) {
		if failed := k.server.End(ctx, iccid); failed != nil {
			k.again(false, ending)
			return errors.Join(err, failed)
		}
		delete(ending, iccid)
		k.log.Info("connections were ended", "iccid", iccid)
	}
	return errors.Join(err, k.endAll(ctx))
}

// reload makes the server read its files, if some have changed.
func (k *Keeper) reload(ctx context.Context) error {
	if len(k.unread) == 0 {
		return nil
	}
	if err := k.server.Reload(ctx, slices.Sorted(maps.Keys(k.unread))); errors.Is(err, ErrLater) {
		return nil
	} else if err != nil {
		return err
	}
	clear(k.unread)
	return nil
}

// endAll ends all connections once when the replica has become too old for them.
func (k *Keeper) endAll(ctx context.Context) error {
	cut := k.m.Synced().Cut
	if cut && !k.cut {
		if err := k.server.EndAll(ctx); err != nil {
			return err
		}
		k.log.Error("the platform was out of reach for too long: all connections were ended", "dir", k.dir)
	}
	k.cut = cut
	return nil
}

// again puts back what could not be done.
func (k *Keeper) again(all bool, ending map[string]struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.all = k.all || all
	maps.Copy(k.changed, ending)
}
