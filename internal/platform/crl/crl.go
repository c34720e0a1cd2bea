// Package crl publishes the certificate revocation list: every certificate that was revoked
// and has not expired, and those of suspended SIMs as certificateHold (RFC 5280, 5.3.1).
//
// What belongs on the list changes in the transaction that revokes or suspends, which
// raises a revision. Whoever asks for the list after that transaction was answered gets one
// of that revision or a later one. A list is signed when it is asked for and kept, with its
// number, in the store.
package crl

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/store"
)

// certificateHold is the reason code of a certificate whose SIM is suspended.
const certificateHold = 6

// freshness is how long before its end a list is replaced by one with the same content.
const freshness = ca.CRLLifetime / 2

// Publisher makes the list. It is safe for concurrent use.
type Publisher struct {
	store store.Store
	ca    *ca.CA
	now   func() time.Time

	signing sync.Mutex // one list is signed at a time

	mu   sync.Mutex
	last store.CRL
}

// New returns the publisher of a store's revocations. A nil clock means time.Now.
func New(s store.Store, c *ca.CA, now func() time.Time) *Publisher {
	return &Publisher{store: s, ca: c, now: clock.Of(now)}
}

// Current returns the list in DER. It holds every revocation that was answered before the call.
func (p *Publisher) Current(ctx context.Context) ([]byte, error) {
	var revision int64
	err := p.store.View(ctx, func(tx store.Tx) (err error) {
		revision, err = tx.Revision()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	if p.good(last, revision) {
		return last.DER, nil
	}
	last, err = p.renew(ctx)
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	return last.DER, nil
}

// good tells whether a list holds the given revision and will be valid for a while.
func (p *Publisher) good(c store.CRL, revision int64) bool {
	return c.Revision == revision && c.Number > 0 && p.now().Before(c.NextUpdate.Add(-freshness))
}

// renew finds the list of the present revision, or signs it.
func (p *Publisher) renew(ctx context.Context) (store.CRL, error) {
	p.signing.Lock()
	defer p.signing.Unlock()
	for {
		list, err := p.sign(ctx)
		if errors.Is(err, store.ErrExists) {
			continue // somebody else has published that number
		}
		if err == nil {
			p.mu.Lock()
			p.last = list
			p.mu.Unlock()
		}
		return list, err
	}
}

// sign makes and stores one list, unless the stored one is still good.
func (p *Publisher) sign(ctx context.Context) (list store.CRL, err error) {
	now := p.now()
	var revision int64
	var revoked []store.RevokedCertificate
	err = p.store.View(ctx, func(tx store.Tx) (err error) {
		if revision, err = tx.Revision(); err != nil {
			return err
		}
		if list, err = tx.CRL(); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if p.good(list, revision) {
			return nil
		}
		revoked, err = tx.RevokedCertificates(now)
		return err
	})
	if err != nil || p.good(list, revision) {
		return list, err
	}
	list = store.CRL{Number: list.Number + 1, Revision: revision, NextUpdate: now.Add(ca.CRLLifetime)}
	entries, err := toEntries(revoked)
	if err != nil {
		return list, err
	}
	if list.DER, err = p.ca.CRL(entries, list.Number, now); err != nil {
		return list, err
	}
	return list, p.store.Update(ctx, func(tx store.Tx) error { return tx.PublishCRL(list) })
}

func toEntries(revoked []store.RevokedCertificate) ([]x509.RevocationListEntry, error) {
	entries := make([]x509.RevocationListEntry, 0, len(revoked))
	for _, r := range revoked {
		serial, err := ca.ParseSerial(r.Serial)
		if err != nil {
			return nil, err
		}
		code, _ := r.Reason.CRLCode()
		if r.Hold {
			code = certificateHold
		}
		entries = append(entries, x509.RevocationListEntry{
			SerialNumber: serial, RevocationTime: r.Since.Truncate(time.Second), ReasonCode: code,
		})
	}
	return entries, nil
}
