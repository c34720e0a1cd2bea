package appserver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
)

// fetchers is how many secrets are fetched at once.
const fetchers = 8

// hopeless is how long to wait before asking again for what the platform refuses to this token.
const hopeless = time.Minute

// fetcher fetches the secrets that the vault lacks.
type fetcher struct {
	platform *api.Client
	opener   *api.Opener // of what comes from the platform
	vault    *vault
	log      *slog.Logger
	arrived  func(id string) // told of each secret that is here now

	mu     sync.Mutex
	wanted map[string]bool // by ID of the credential; true: somebody is at it
	none   chan struct{}   // closed while nothing is wanted
	wake   chan struct{}
}

func newFetcher(platform *api.Client, opener *api.Opener, v *vault, log *slog.Logger, arrived func(id string)) *fetcher {
	f := &fetcher{
		platform: platform, opener: opener, vault: v, log: log, arrived: arrived,
		wanted: make(map[string]bool), none: make(chan struct{}), wake: make(chan struct{}, fetchers),
	}
	close(f.none)
	return f
}

// consider notes what the feed says of a credential.
func (f *fetcher) consider(c *entry) {
	switch state := api.CredentialState(c.State); {
	case c.ID == "" || c.Type != api.PSKType:
	case state.Accepted():
		if !f.vault.has(c.ID) {
			f.want(c.ID)
		}
	case state.Final():
		f.drop(c.ID)
		if err := f.vault.forget(c.ID); err != nil {
			f.log.Error("the end of a secret is not kept on disk", "credential", c.ID, "error", err)
		}
	}
}

// reconcile makes the vault hold the secrets of the given credentials and no others.
func (f *fetcher) reconcile(ids iter.Seq[string]) {
	if err := f.vault.keep(ids, f.want); err != nil {
		f.log.Error("the sealed secrets stay on disk as they are", "error", err)
	}
}

func (f *fetcher) want(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.wanted[id]; ok {
		return
	}
	if len(f.wanted) == 0 {
		f.none = make(chan struct{})
	}
	f.wanted[id] = false
	select {
	case f.wake <- struct{}{}:
	default: // all are awake, or will be
	}
}

// drop ends the want of a secret.
func (f *fetcher) drop(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.wanted[id]; !ok {
		return
	}
	delete(f.wanted, id)
	if len(f.wanted) == 0 {
		close(f.none)
	}
}

// next finds something to fetch that nobody is at.
func (f *fetcher) next() (id string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, taken := range f.wanted {
		if !taken {
			f.wanted[id] = true
			return id, true
		}
	}
	return "", false
}

// again gives back what could not be fetched.
func (f *fetcher) again(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.wanted[id]; !ok {
		return
	}
	f.wanted[id] = false
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// missing is how many secrets are still to be fetched.
func (f *fetcher) missing() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.wanted)
}

// complete is closed while no secret is missing.
func (f *fetcher) complete() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.none
}

// run fetches until ctx ends; several may run.
func (f *fetcher) run(ctx context.Context) {
	wait := firstWait
	for {
		id, ok := f.next()
		if !ok {
			select {
			case <-ctx.Done():
				return
			case <-f.wake:
			}
			continue
		}
		err := f.fetch(ctx, id)
		if err == nil {
			f.drop(id)
			f.arrived(id)
			wait = firstWait
			continue
		}
		if ctx.Err() != nil {
			return
		}
		var refused *refusedSecretError
		if errors.As(err, &refused) {
			f.log.Error("the platform does not give a secret that handshakes need", "credential", id, "error", err)
			time.AfterFunc(hopeless, func() { f.again(id) })
		} else {
			f.log.Warn("a secret cannot be fetched; it is tried again", "credential", id, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, lastWait)
		if refused == nil {
			f.again(id)
		}
	}
}

// refusedSecretError says that asking again soon is of no use.
type refusedSecretError struct{ error }

func (e *refusedSecretError) Unwrap() error { return e.error }

// fetch brings one secret into the vault.
func (f *fetcher) fetch(ctx context.Context, id string) error {
	sealed, err := f.platform.Secret(ctx, id)
	var answer *api.Error
	if errors.As(err, &answer) {
		switch answer.Status {
		case http.StatusNotFound, http.StatusConflict:
			return nil // it is no longer accepted, as the feed is about to say
		case http.StatusUnauthorized, http.StatusForbidden:
			return &refusedSecretError{err}
		}
	}
	if err != nil {
		return err
	}
	secret, err := f.opener.Open(id, sealed.Sealed)
	defer clear(secret)
	if err != nil {
		return &refusedSecretError{fmt.Errorf("the token belongs to another sealing key than SealingKey: %w", err)}
	}
	f.mu.Lock()
	_, wanted := f.wanted[id]
	f.mu.Unlock()
	if !wanted {
		return nil
	}
	if err := f.vault.put(id, secret); err != nil {
		f.log.Error("a secret is not kept on disk; it is served from memory, and fetched again after a restart", "credential", id, "error", err)
	}
	return nil
}
