package mosquitto

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
	"syscall"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
)

// Options configures [New].
type Options struct {
	// Middleware tells what is accepted.
	Middleware *appserver.Middleware
	// Platform gives the CA certificates and the CRL.
	Platform *api.Client
	// Dir is where the files for the broker go; see [ConfigOptions.Dir]. It is created if
	// need be. Its path must be short: the name of a socket has at most 107 bytes.
	Dir string
	// PID finds the broker's process; see [PIDFile].
	PID func() (int, error)
	// Access are the broker's rules for devices, in the language of its acl_file. Empty:
	// every topic. The rules that bar SIMs are put after them.
	Access string

	Logger *slog.Logger // nil: [slog.Default]
}

// Adapter keeps one broker in step.
type Adapter struct {
	m        *appserver.Middleware
	platform *api.Client
	dir      string
	control  string
	pid      func() (int, error)
	access   string
	log      *slog.Logger

	// Of Prepare and Run.
	issuers []*x509.Certificate
	crlEnds time.Time
	stale   bool // the broker has not read all files since they changed

	mu      sync.Mutex
	all     bool                // every SIM may have changed
	changed map[string]struct{} // sessions to end
	barred  map[string]struct{} // as in the file
	wake    chan struct{}
}

// New returns an adapter. It does nothing yet.
func New(o Options) (*Adapter, error) {
	if o.Middleware == nil || o.Platform == nil || o.PID == nil {
		return nil, errors.New("mosquitto: Options need Middleware, Platform and PID")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	control := filepath.Join(dir, controlSocket)
	if len(control) > 107 {
		return nil, fmt.Errorf("mosquitto: %s is too long for the name of a socket: choose a shorter directory", control)
	}
	if o.Access == "" {
		o.Access = anyTopic
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Adapter{
		m: o.Middleware, platform: o.Platform, dir: dir, control: control, pid: o.PID, access: o.Access, log: o.Logger,
		changed: make(map[string]struct{}), barred: make(map[string]struct{}), wake: make(chan struct{}, 1),
	}, nil
}

// Prepare writes the files without which the broker does not start. It waits until the
// middleware has caught up with the platform.
func (a *Adapter) Prepare(ctx context.Context) error {
	if err := a.m.Ready(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir, 0o750); err != nil {
		return err
	}
	_, err := a.replace(controlAccessFile, []byte("# Nothing is allowed.\n"))
	if err == nil {
		_, err = a.writeFiles(ctx, true)
	}
	if err != nil {
		return fmt.Errorf("mosquitto: %w", err)
	}
	return nil
}

// writeFiles brings the files up to date, as far as possible even if one fails.
func (a *Adapter) writeFiles(ctx context.Context, cas bool) (changed bool, err error) {
	barred := a.m.Barred()
	a.mu.Lock()
	clear(a.barred)
	for _, iccid := range barred {
		a.barred[iccid] = struct{}{}
	}
	a.mu.Unlock()
	changed, err = a.writeAccess(barred)
	if cas {
		written, failed := a.writeCAs(ctx)
		changed, err = changed || written, errors.Join(err, failed)
	}
	written, failed := a.writeCRL(ctx)
	return changed || written, errors.Join(err, failed)
}

// Run prepares the files and keeps the broker in step until ctx ends, whose cause it
// returns. The broker may start, stop and start again meanwhile. At the beginning the
// sessions of all barred SIMs are ended, for they may date from before.
func (a *Adapter) Run(ctx context.Context) error {
	if err := a.Prepare(ctx); err != nil {
		return err
	}
	a.stale = true
	a.again(true, nil)
	stop := a.m.Watch(a.note)
	defer stop()
	var reported string
	refresh := time.Now().Add(refreshEvery)
	for cas := true; ; {
		err := a.update(ctx, cas)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait := time.Until(a.due(refresh))
		switch {
		case err != nil && err.Error() != reported:
			a.log.Error("the broker is not in step; trying on", "error", err)
			reported = err.Error()
		case err == nil && reported != "":
			a.log.Info("the broker is in step again")
			reported = ""
		}
		if err != nil {
			wait = retryAfter
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-a.wake:
			timer.Stop()
			cas = err != nil && cas
		case <-timer.C:
			if cas = err != nil && cas || !time.Now().Before(refresh); cas {
				refresh = time.Now().Add(refreshEvery)
			}
		}
	}
}

const (
	// refreshEvery is how often CA certificates and CRL are fetched though nothing changed.
	refreshEvery = 10 * time.Minute
	// retryAfter is the wait after a failure.
	retryAfter = time.Second
	// fetchTimeout keeps a platform that does not answer from holding up the end of a session.
	fetchTimeout = 500 * time.Millisecond
)

// due is when the files must be looked at again: the CRL well before it ends, for then
// the broker would refuse everyone.
func (a *Adapter) due(refresh time.Time) time.Time {
	if a.crlEnds.IsZero() {
		return refresh
	}
	if half := time.Now().Add(max(time.Until(a.crlEnds)/2, retryAfter)); half.Before(refresh) {
		return half
	}
	return refresh
}

// note takes up a change, if it is one that the broker must learn of: the switch-on of a
// SIM is not.
func (a *Adapter) note(c appserver.Change) {
	a.mu.Lock()
	_, was := a.barred[c.ICCID]
	switch {
	case c.ICCID == "":
		a.all = true
	case c.Barred || c.Revoked:
		a.changed[c.ICCID] = struct{}{}
	case !was:
		a.mu.Unlock()
		return
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// update writes the files, makes the broker read them, and ends sessions, in this order:
// a device that comes back at once must meet the new rules.
func (a *Adapter) update(ctx context.Context, cas bool) error {
	a.mu.Lock()
	all, ending := a.all, a.changed
	a.all, a.changed = false, make(map[string]struct{})
	a.mu.Unlock()

	fetching, cancel := context.WithTimeout(ctx, fetchTimeout)
	changed, err := a.writeFiles(fetching, cas)
	cancel()
	if err != nil && len(ending) > 0 {
		defer a.again(false, maps.Clone(ending)) // once more under the new CRL
	}
	a.stale = a.stale || changed
	if a.stale || len(ending) > 0 {
		if failed := a.reload(); failed != nil {
			a.again(all, ending)
			return errors.Join(err, failed)
		}
		a.stale = false
	}
	if all {
		for _, iccid := range a.m.Barred() {
			ending[iccid] = struct{}{}
		}
	}
	for _, iccid := range slices.Sorted(maps.Keys(ending)) {
		if failed := a.end(ctx, iccid); failed != nil {
			a.again(false, ending)
			return errors.Join(err, failed)
		}
		delete(ending, iccid)
		a.log.Info("the session was ended", "iccid", iccid)
	}
	return err
}

// again puts back what could not be done.
func (a *Adapter) again(all bool, ending map[string]struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = a.all || all
	maps.Copy(a.changed, ending)
}

// reload makes the broker read its files again.
func (a *Adapter) reload() error {
	pid, err := a.pid()
	if err != nil {
		return err
	}
	if !catchesHangup(pid) {
		return fmt.Errorf("the broker (process %d) is still starting", pid)
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := process.Signal(syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal the broker (process %d): %w", pid, err)
	}
	return nil
}
