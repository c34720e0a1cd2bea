// Package crl publishes certificate revocation lists: every certificate that was revoked
// and has not expired, and those of suspended SIMs as certificateHold (RFC 5280, 5.3.1).
//
// There are three kinds. The complete list is for whoever wants all in one file. One of
// [store.Shards] shards is what a certificate points at: it stays small where there are millions. The
// delta tells what has changed on the complete list during the last day (5.2.4).
//
// What stands on the lists are rows that the transaction writes that revokes or suspends. It
// raises the revision, and a list's number is the revision that it shows. So a list follows from
// what is stored, whichever node makes it: nothing but its signature is ever different. Whoever asks
// for a list after the transaction was answered gets one that shows it.
package crl

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

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

	complete, delta list
	shards          [store.Shards]list
}

// list is the last one that was made of its kind.
type list struct {
	mu     sync.Mutex // one is made at a time
	number int64
	der    []byte
}

// New returns the publisher of a store's revocations. A nil clock means time.Now.
func New(s store.Store, c *ca.CA, now func() time.Time) *Publisher {
	return &Publisher{store: s, ca: c, now: clock.Of(now)}
}

// Complete returns the list of all certificates, in DER.
func (p *Publisher) Complete(ctx context.Context) ([]byte, error) {
	return p.get(ctx, &p.complete, store.Tx.Revision, func(tx store.Tx, at time.Time) ([]store.RevokedCertificate, ca.Scope, error) {
		rows, err := tx.RevokedCertificates(at)
		return rows, ca.Scope{}, err
	})
}

// Delta returns what has changed on the complete list during the last day.
func (p *Publisher) Delta(ctx context.Context) ([]byte, error) {
	return p.get(ctx, &p.delta, store.Tx.Revision, func(tx store.Tx, at time.Time) ([]store.RevokedCertificate, ca.Scope, error) {
		base, err := tx.RevisionBefore(at.Add(-deltaWindow))
		if err != nil {
			return nil, ca.Scope{}, err
		}
		rows, err := tx.RevokedAfter(base, at)
		return rows, ca.Scope{Delta: true, Base: base}, err
	})
}

// Shard returns the list of one shard, from 0 to [store.Shards]-1.
func (p *Publisher) Shard(ctx context.Context, shard int) ([]byte, error) {
	if shard < 0 || shard >= store.Shards {
		return nil, refuse.BadRequest("there is no shard %d", shard)
	}
	if !p.ca.Published() {
		return nil, refuse.Conflict("the list of one part names where it is found, and this platform has no public URL: take the complete list, or serve it with a public URL")
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
	return p.get(ctx, &p.shards[shard], revision, func(tx store.Tx, at time.Time) ([]store.RevokedCertificate, ca.Scope, error) {
		rows, err := tx.RevokedInShard(shard, at)
		return rows, ca.Scope{Sharded: true, Shard: shard}, err
	})
}

// get returns a list that shows the present revision of what it is about.
func (p *Publisher) get(ctx context.Context, l *list, revision func(store.Tx) (store.Revision, error),
	content func(store.Tx, time.Time) ([]store.RevokedCertificate, ca.Scope, error)) ([]byte, error) {
	if err := p.refresh(ctx); err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var shows store.Revision
	var rows []store.RevokedCertificate
	var scope ca.Scope
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		if shows, err = revision(tx); err != nil || l.number == shows.Number {
			return err
		}
		rows, scope, err = content(tx, shows.Time)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	if l.number == shows.Number && l.der != nil {
		return l.der, nil
	}
	entries, err := toEntries(rows)
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	der, err := p.ca.CRL(entries, shows.Number, shows.Time, scope)
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

func toEntries(revoked []store.RevokedCertificate) ([]x509.RevocationListEntry, error) {
	entries := make([]x509.RevocationListEntry, 0, len(revoked))
	for _, r := range revoked {
		serial, err := ca.ParseSerial(r.Serial)
		if err != nil {
			return nil, err
		}
		entries = append(entries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: r.Since.Truncate(time.Second), ReasonCode: r.Code,
		})
	}
	return entries, nil
}
