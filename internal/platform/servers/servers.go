// Package servers issues the TLS certificates of application servers, knows them, and revokes them.
package servers

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/page"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// Servers are the certificates of one platform's servers. It is safe for concurrent use.
type Servers struct {
	store store.Store
	ca    *ca.CA
	now   func() time.Time
}

// New returns the certificates in a store. A nil clock means time.Now.
func New(s store.Store, c *ca.CA, now func() time.Time) *Servers {
	return &Servers{store: s, ca: c, now: clock.Of(now)}
}

// Issue has a certificate for these names and this key signed and returns its DER. It is
// stored, and in the audit log, before it is returned. An error that wraps [ca.ErrLint] is about what
// was asked for.
func (s *Servers) Issue(ctx context.Context, actor string, names []string, key crypto.PublicKey) (der []byte, err error) {
	err = s.ca.Again(ctx, func() (err error) {
		der, err = s.issue(ctx, actor, names, key)
		return err
	})
	return der, err
}

func (s *Servers) issue(ctx context.Context, actor string, names []string, key crypto.PublicKey) ([]byte, error) {
	prepared, err := s.ca.PrepareServer(names, key)
	if err != nil {
		return nil, err
	}
	der, err := s.ca.Sign(prepared)
	if err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	fingerprint := sha256.Sum256(der)
	row := store.ServerCertificate{
		ID: fmt.Sprintf("%016x%s", now.UnixMicro(), prepared.Serial),
		IssuedServerCertificate: api.IssuedServerCertificate{
			Serial: prepared.Serial, Names: names, Certificate: der, NotBefore: prepared.NotBefore, NotAfter: prepared.NotAfter, Created: now,
		},
	}
	return der, s.store.Update(ctx, func(tx store.Tx) error {
		return errors.Join(prepared.On(tx), tx.InsertServerCertificate(row), audit.Append(tx, api.AuditEntry{
			Time: now, Actor: actor, Action: "server.certified", Subject: strings.Join(names, " "), After: hex.EncodeToString(fingerprint[:]),
		}))
	})
}

// Find returns the certificate with a serial number. It fails with [store.ErrNotFound] if there is none.
func (s *Servers) Find(ctx context.Context, serial string) (found api.IssuedServerCertificate, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		row, err := tx.ServerCertificate(serial)
		found = row.IssuedServerCertificate
		return err
	})
	return found, err
}

// List returns the certificates, older ones first.
func (s *Servers) List(ctx context.Context, after string, limit int) (api.Page[api.IssuedServerCertificate], error) {
	return page.View(ctx, s.store, limit, func(tx store.Tx, most int) ([]store.ServerCertificate, error) {
		return tx.ListServerCertificates(after, most)
	}, func(r store.ServerCertificate) api.IssuedServerCertificate { return r.IssuedServerCertificate },
		func(r store.ServerCertificate) string { return r.ID })
}

// Revoke revokes a certificate by its serial number, for good. It is on the revocation lists when
// Revoke returns. Revoking it again changes nothing.
func (s *Servers) Revoke(ctx context.Context, actor, serial string, change api.Change) (revoked api.IssuedServerCertificate, err error) {
	if err := transition.CheckChange(change); err != nil {
		return revoked, err
	}
	if change.Reason == "" {
		change.Reason = api.ReasonUnspecified
	}
	now := s.now().UTC().Truncate(time.Microsecond)
	err = s.store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.ServerCertificate(serial)
		if errors.Is(err, store.ErrNotFound) {
			return refuse.With(api.CodeUnknownCert, http.StatusNotFound, "no server's certificate has the serial number %q: list them", serial)
		}
		revoked = row.IssuedServerCertificate
		if err != nil || !row.Revoked.IsZero() {
			return err
		}
		if !now.Before(row.NotAfter) {
			return refuse.Conflict("certificate %s ended at %s: there is nothing to revoke", serial, row.NotAfter.Format(time.RFC3339))
		}
		revoked.Revoked, revoked.Reason = now, change.Reason
		code, _ := change.Reason.CRLCode()
		return errors.Join(tx.RevokeServerCertificate(serial, now, change.Reason),
			transition.Listed(tx, now, code, transition.Certificate{Serial: serial, NotAfter: row.NotAfter}),
			audit.Append(tx, api.AuditEntry{
				Time: now, Actor: actor, Action: "server.revoked", Subject: serial, Before: strings.Join(row.Names, " "), After: string(change.Reason), Note: change.Note,
			}))
	})
	return revoked, err
}
