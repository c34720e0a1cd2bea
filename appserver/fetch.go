package appserver

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
)

// fetchers is how many requests for secrets are under way at once.
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

// next takes what to fetch that nobody is at, as much as one request may ask for.
func (f *fetcher) next() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, taken := range f.wanted {
		if taken {
			continue
		}
		f.wanted[id] = true
		if ids = append(ids, id); len(ids) == api.MaxSecrets {
			break
		}
	}
	return ids
}

// again gives back what could not be fetched.
func (f *fetcher) again(ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		if _, ok := f.wanted[id]; ok {
			f.wanted[id] = false
		}
	}
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
		ids := f.next()
		if len(ids) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-f.wake:
			}
			continue
		}
		refused, failed := f.fetch(ctx, ids)
		if ctx.Err() != nil {
			return
		}
		if len(refused.ids) > 0 {
			f.log.Error("the platform does not give secrets that handshakes need", "credential", refused.ids[0], "count", len(refused.ids), "error", refused.err)
			time.AfterFunc(hopeless, func() { f.again(refused.ids) })
		}
		if len(failed.ids) > 0 {
			f.log.Warn("secrets cannot be fetched; it is tried again", "credential", failed.ids[0], "count", len(failed.ids), "error", failed.err)
		}
		if len(refused.ids)+len(failed.ids) == 0 {
			wait = firstWait
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, lastWait)
		f.again(failed.ids)
	}
}

// unfetched are credentials whose secrets did not come, and why the first of them did not.
type unfetched struct {
	ids []string
	err error
}

func (u *unfetched) add(err error, ids ...string) {
	if len(u.ids) == 0 {
		u.err = err
	}
	u.ids = append(u.ids, ids...)
}

// fetch brings secrets into the vault. Asking again soon for those that are refused is of no use.
func (f *fetcher) fetch(ctx context.Context, ids []string) (refused, failed unfetched) {
	answers, err := f.ask(ctx, ids)
	for i, answer := range answers {
		id := ids[i]
		switch err := f.take(answer); {
		case err == nil:
			f.drop(id)
			f.arrived(id)
		case hasStatus(err, http.StatusNotFound, http.StatusConflict):
			f.drop(id) // it is no longer accepted, as the feed is about to say
		case hasStatus(err, http.StatusUnauthorized, http.StatusForbidden), errors.Is(err, errOtherKey):
			refused.add(err, id)
		default:
			failed.add(err, id)
		}
	}
	if rest := ids[len(answers):]; hasStatus(err, http.StatusUnauthorized, http.StatusForbidden) {
		refused.add(err, rest...)
	} else {
		failed.add(err, rest...)
	}
	return refused, failed
}

// ask asks the platform for secrets, for several at once if it can do that. With an error come the
// answers of those before.
func (f *fetcher) ask(ctx context.Context, ids []string) (answers []api.HandedSecret, err error) {
	if len(ids) > 1 {
		answers, err = f.platform.Secrets(ctx, ids)
		if !hasStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed) {
			return answers, err
		}
	}
	// There is one, or the platform is of an earlier version.
	for _, id := range ids {
		sealed, err := f.platform.Secret(ctx, id)
		answer := api.HandedSecret{Credential: id, Sealed: sealed.Sealed}
		if err != nil && !errors.As(err, &answer.Refusal) {
			return answers, err
		}
		answers = append(answers, answer)
	}
	return answers, nil
}

// errOtherKey says that a secret is not for this application server.
var errOtherKey = errors.New("the token belongs to another sealing key than SealingKey")

// take opens an answer of the platform and puts the secret into the vault, if it is wanted still.
func (f *fetcher) take(answer api.HandedSecret) error {
	if answer.Refusal != nil {
		return answer.Refusal
	}
	id := answer.Credential
	secret, err := f.opener.Open(id, answer.Sealed)
	defer clear(secret)
	if err != nil {
		return fmt.Errorf("%w: %w", errOtherKey, err)
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

// hasStatus tells whether err is a refusal by the platform with one of the given statuses.
func hasStatus(err error, statuses ...int) bool {
	var refusal *api.Error
	return errors.As(err, &refusal) && slices.Contains(statuses, refusal.Status)
}
