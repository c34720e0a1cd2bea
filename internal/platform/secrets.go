package platform

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/kms"
	"github.com/simroot/simroot/internal/platform/rewrap"
	"github.com/simroot/simroot/internal/platform/store"
)

const (
	// keksInterval is how often the list of key-encryption keys is looked at.
	keksInterval = 2 * time.Second
	// rewrapInterval is how often the rows are looked through for secrets under an older key,
	// besides when the list has changed: another node may have made some.
	rewrapInterval = time.Hour
)

// unnamedKEK stands for the keys of secrets that were stored by the first release, which noted no ID.
const unnamedKEK = "not noted: stored by the first release, still to be moved"

// secrets are the key-encryption keys in use, and what moves the stored secrets between them.
type secrets struct {
	dir      folder
	options  Options
	envelope *envelope.Envelope
	moving   atomic.Bool

	mu  sync.Mutex
	all []namedKEK // the first is current
}

func openSecrets(dir folder, o Options) (*secrets, error) {
	s := &secrets{dir: dir, options: o}
	uris, err := readKEKs(dir)
	if err != nil {
		return nil, err
	}
	if s.all, err = openKEKs(context.Background(), dir, o.safe(), uris, nil); err != nil {
		return nil, err
	}
	s.envelope = envelope.New(s.all[0].KEK)
	use(s.envelope, s.all)
	return s, nil
}

// reload looks whether the list of keys has changed, and takes the new one into use.
func (s *secrets) reload(ctx context.Context) (changed bool, err error) {
	uris, err := readKEKs(s.dir)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sameList(uris, s.all) {
		return false, nil
	}
	all, err := openKEKs(ctx, s.dir, s.options.safe(), uris, s.all)
	if err != nil {
		return false, err
	}
	s.all = all
	use(s.envelope, all)
	s.options.Log.InfoContext(ctx, "key-encryption keys", "current", s.envelope.Current().String(), "count", len(all))
	return true, nil
}

// work keeps to the list of keys, and moves secrets to the current one, until ctx ends.
func (s *secrets) work(ctx context.Context, rows store.Store) {
	look := time.NewTicker(keksInterval)
	defer look.Stop()
	due := time.Time{}
	failed := "" // what was said last, so as to say it once
	for {
		changed, err := s.reload(ctx)
		switch {
		case err == nil:
			failed = ""
		case err.Error() != failed:
			failed = err.Error()
			s.options.Log.ErrorContext(ctx, "the list of key-encryption keys is not taken over; those before it stay in use", "error", err)
		}
		if changed || time.Now().After(due) {
			due = time.Now().Add(rewrapInterval)
			s.move(ctx, rows)
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// move moves the stored secrets to the current key.
func (s *secrets) move(ctx context.Context, rows store.Store) {
	s.moving.Store(true)
	defer s.moving.Store(false)
	done, err := rewrap.Run(ctx, rows, s.envelope, s.options.Log)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.options.Log.ErrorContext(ctx, "secrets stay under an older key-encryption key for now", "moved", done.Moved, "error", err)
	case done != rewrap.Result{}:
		s.options.Log.InfoContext(ctx, "secrets moved", "to", s.envelope.Current().String(), "moved", done.Moved, "failed", done.Failed)
	}
}

// status tells which keys are in use and how much is under each.
func (s *secrets) status(ctx context.Context, rows store.Store) (api.KEKStatus, error) {
	var counts map[[8]byte]int
	err := rows.View(ctx, func(tx store.Tx) (err error) {
		counts, err = tx.CountEnvelopes()
		return err
	})
	if err != nil {
		return api.KEKStatus{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	status := api.KEKStatus{Moving: s.moving.Load()}
	for i, k := range s.all {
		id := k.ID()
		status.Keys = append(status.Keys, api.KEK{ID: id.String(), Name: kms.Name(k.uri), Current: i == 0, Secrets: counts[id]})
		delete(counts, id)
	}
	if n := counts[envelope.KEKID{}]; n > 0 {
		status.Keys = append(status.Keys, api.KEK{Name: unnamedKEK, Secrets: n})
		delete(counts, envelope.KEKID{})
	}
	missing := status.Keys[len(status.Keys):]
	for id, n := range counts {
		missing = append(missing, api.KEK{ID: envelope.KEKID(id).String(), Missing: true, Secrets: n})
	}
	slices.SortFunc(missing, func(a, b api.KEK) int { return b.Secrets - a.Secrets })
	status.Keys = append(status.Keys, missing...)
	return status, nil
}
