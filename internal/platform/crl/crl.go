// Package crl publishes certificate revocation lists: every certificate that was revoked
// and has not expired, and those of suspended SIMs as certificateHold (RFC 5280, 5.3.1).
//
// There are three kinds. The complete list is for whoever wants all in one file. One of
// [store.Shards] shards is what a certificate points at: it stays small where there are millions. The
// delta tells what has changed on the complete list during the last day (5.2.4).
//
// Every issuing CA whose certificates may be in use has its own lists, which name its own certificates
// only: during a rollover there are those of two. A CA that is to follow has a list before it issues, so
// that those who check it have it by then.
//
// What stands on the lists are rows that the transaction writes that revokes or suspends. It
// raises the revision, and a list's number is the revision that it shows. So a list follows from
// what is stored, whichever node makes it: nothing but its signature is ever different. Whoever asks
// for a list after the transaction was answered gets one that shows it.
package crl

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// freshness is how old lists become before they are made anew though nothing has changed.
const freshness = ca.CRLLifetime / 2

// skew is how far the clocks of nodes may be apart.
const skew = 5 * time.Minute

// deltaWindow is what a delta covers: as long as a complete list is valid, it can be brought up to date.
const deltaWindow = ca.CRLLifetime

// Publisher makes the lists. It is safe for concurrent use.
type Publisher struct {
	store store.Store
	ca    *ca.CA
	now   func() time.Time

	mu  sync.Mutex
	ofs map[string]*lists // by the issuing CA's certificate
}

// lists are those of one issuing CA.
type lists struct {
	complete, delta list
	shards          [store.Shards]list
	parts           [store.Shards]part
}

// list is the last one that was made of its kind.
type list struct {
	mu     sync.Mutex // one is made at a time
	number int64
	der    []byte
}

// New returns the publisher of a store's revocations. A nil clock means time.Now.
func New(s store.Store, c *ca.CA, now func() time.Time) *Publisher {
	return &Publisher{store: s, ca: c, now: clock.Of(now), ofs: map[string]*lists{}}
}

// Present stands for the CA that issues, whatever its number.
const Present = 0

// of finds an issuing CA by its number, and its lists.
func (p *Publisher) of(number int) (ca.Issuing, *lists, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	trusted := p.ca.Trusted()
	maps.DeleteFunc(p.ofs, func(raw string, _ *lists) bool {
		return !slices.ContainsFunc(trusted, func(i ca.Issuing) bool { return string(i.Certificate.Raw) == raw })
	})
	for _, i := range trusted {
		if number != Present && number != i.Number {
			continue
		}
		raw := string(i.Certificate.Raw)
		if p.ofs[raw] == nil {
			p.ofs[raw] = &lists{}
		}
		return i, p.ofs[raw], nil
	}
	return ca.Issuing{}, nil, refuse.With(api.CodeUnknownCA, http.StatusNotFound, "no certificate in use is of an issuing CA with the number %d: the lists of all that count are at "+api.PathCRLs, number)
}

// All returns the complete lists of all issuing CAs that are trusted, that of the one that issues first, and
// of the roots above them that have one, in PEM.
func (p *Publisher) All(ctx context.Context) ([]byte, error) {
	var text bytes.Buffer
	write := func(der []byte) {
		pem.Encode(&text, &pem.Block{Type: "X509 CRL", Bytes: der}) //nolint:errcheck // a buffer
	}
	for _, i := range p.ca.Trusted() {
		der, err := p.Complete(ctx, i.Number)
		if err != nil {
			return nil, err
		}
		write(der)
		if i.RootCRL != nil {
			write(i.RootCRL)
		}
	}
	return text.Bytes(), nil
}

// Complete returns the list of all certificates of an issuing CA, in DER.
func (p *Publisher) Complete(ctx context.Context, number int) ([]byte, error) {
	of, l, err := p.of(number)
	if err != nil {
		return nil, err
	}
	return p.get(ctx, of, &l.complete, store.Tx.Revision, func(tx store.Tx, at time.Time) ([]byte, ca.Scope, error) {
		all := make([]byte, 0, len(l.complete.der))
		for shard := range l.parts {
			entries, err := l.parts[shard].entries(tx, of, shard, at)
			if err != nil {
				return nil, ca.Scope{}, err
			}
			all = append(all, entries...)
		}
		return all, ca.Scope{}, nil
	})
}

// Delta returns what has changed on the complete list during the last day.
func (p *Publisher) Delta(ctx context.Context, number int) ([]byte, error) {
	of, l, err := p.of(number)
	if err != nil {
		return nil, err
	}
	return p.get(ctx, of, &l.delta, store.Tx.Revision, func(tx store.Tx, at time.Time) ([]byte, ca.Scope, error) {
		base, err := tx.RevisionBefore(at.Add(-deltaWindow))
		if err != nil {
			return nil, ca.Scope{}, err
		}
		rows, err := tx.RevokedAfter(base, at)
		if err != nil {
			return nil, ca.Scope{}, err
		}
		entries, err := appendEntries(nil, of, rows)
		return entries, ca.Scope{Delta: true, Base: base}, err
	})
}

// Shard returns the list of one shard, from 0 to [store.Shards]-1.
func (p *Publisher) Shard(ctx context.Context, number, shard int) ([]byte, error) {
	if shard < 0 || shard >= store.Shards {
		return nil, refuse.BadRequest("there is no shard %d", shard)
	}
	if !p.ca.Published() {
		return nil, refuse.Conflict("the list of one part names where it is found, and this platform has no public URL: take the complete list, or serve it with a public URL")
	}
	of, l, err := p.of(number)
	if err != nil {
		return nil, err
	}
	revision := func(tx store.Tx) (store.Revision, error) {
		changed, err := tx.LastRevisionInShard(shard)
		if err != nil {
			return changed, err
		}
		refreshed, err := tx.Refreshed()
		if refreshed.Number > changed.Number {
			return refreshed, err
		}
		return changed, err
	}
	return p.get(ctx, of, &l.shards[shard], revision, func(tx store.Tx, at time.Time) ([]byte, ca.Scope, error) {
		entries, err := l.parts[shard].entries(tx, of, shard, at)
		return entries, ca.Scope{Sharded: true, Shard: shard}, err
	})
}

// get returns a list of a CA that shows the present revision of what it is about.
func (p *Publisher) get(ctx context.Context, of ca.Issuing, l *list, revision func(store.Tx) (store.Revision, error),
	content func(store.Tx, time.Time) ([]byte, ca.Scope, error)) ([]byte, error) {
	if err := p.refresh(ctx); err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var shows store.Revision
	var entries []byte
	var scope ca.Scope
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		if shows, err = revision(tx); err != nil || l.number == shows.Number {
			return err
		}
		entries, scope, err = content(tx, shows.Time)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	if l.number == shows.Number && l.der != nil {
		return l.der, nil
	}
	der, err := p.ca.CRL(of, entries, shows.Number, shows.Time, scope)
	if err != nil {
		return nil, err
	}
	l.number, l.der = shows.Number, der
	return der, nil
}

// refresh raises the revision if all lists have to be made anew because of their age, or because the
// clock was set back since.
func (p *Publisher) refresh(ctx context.Context) error {
	now := p.now()
	old := func(tx store.Tx) (bool, error) {
		last, err := tx.Refreshed()
		return last.Number == 0 || !now.Before(last.Time.Add(freshness)) || now.Before(last.Time.Add(-skew)), err
	}
	var due bool
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		due, err = old(tx)
		return err
	})
	if err != nil || !due {
		return err
	}
	return p.store.Update(ctx, func(tx store.Tx) error {
		if due, err := old(tx); err != nil || !due { // somebody else has
			return err
		}
		return tx.Refresh(now, 1)
	})
}
