// Package appservers knows the application servers: who was invited, who has registered, and
// whose certificate speaks for whom.
//
// An invitation is a one-time token, kept as its SHA-256. The registration binds it to a key that
// the application server has made itself; from then on the token is good for nothing but the
// repetition of the same registration, should its answer be lost. The certificate is renewed for
// the same key, so that a lost answer costs nothing there either. What counts at every request is the
// row: one that was withdrawn is refused at once, whatever its certificate says.
package appservers

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
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
	"github.com/simroot/simroot/internal/platform/token"
	"github.com/simroot/simroot/internal/platform/transition"
)

// Lifetimes. A certificate is renewed at two thirds of its own.
const (
	CertificateLifetime = 90 * 24 * time.Hour
	defaultInvitation   = 24 * time.Hour
	maxInvitation       = 30 * 24 * time.Hour
	backdate            = 5 * time.Minute // for clocks that are slow
)

// prefix lets scanners for leaked secrets recognise a one-time token.
const prefix = "simroot_once_"

// Servers are the application servers of one platform.
type Servers struct {
	store     store.Store
	authority *ca.CA
	now       func() time.Time
}

// New returns the application servers of a store. A nil clock means time.Now.
func New(s store.Store, authority *ca.CA, c func() time.Time) *Servers {
	return &Servers{store: s, authority: authority, now: clock.Of(c)}
}

// Invite makes a one-time token.
func (s *Servers) Invite(ctx context.Context, actor string, i api.Invitation) (api.NewAppServer, error) {
	if i.Name == "" || len(i.Name) > 64 {
		return api.NewAppServer{}, refuse.BadRequest("name: want 1 to 64 bytes that tell you later which server it is")
	}
	lifetime := time.Duration(i.Lifetime)
	if lifetime == 0 {
		lifetime = defaultInvitation
	}
	if lifetime < 0 || lifetime > maxInvitation {
		return api.NewAppServer{}, refuse.BadRequest("lifetime %s: want at most %s", i.Lifetime, maxInvitation)
	}
	var random [40]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	secret := prefix + base64.RawURLEncoding.EncodeToString(random[8:])
	now := s.now()
	row := store.AppServer{
		AppServer: api.AppServer{
			ID: hex.EncodeToString(random[:8]), Name: i.Name, Created: now, InvitedUntil: now.Add(lifetime).Truncate(time.Microsecond),
		},
		Invitation: sha256.Sum256([]byte(secret)),
	}
	// A name that no certificate can bear is better refused now.
	trial, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return api.NewAppServer{}, err
	}
	if _, err := s.authority.PrepareAppServer(row.ID, i.Name, &trial.PublicKey, now, now.Add(CertificateLifetime)); err != nil {
		return api.NewAppServer{}, refuse.BadRequest("name: no good certificate can be made for it: %v", err)
	}
	err = s.store.Update(ctx, func(tx store.Tx) (err error) {
		if row.Fleets, err = token.CheckFleets(tx, i.Fleets); err != nil {
			return err
		}
		if err := tx.InsertAppServer(row); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{
			Time: now, Actor: actor, Action: "appserver.invited", Subject: row.ID, After: strings.Join(row.Fleets, " "), Note: row.Name,
		})
	})
	if err != nil {
		return api.NewAppServer{}, err
	}
	return api.NewAppServer{AppServer: row.AppServer, Token: secret}, nil
}

// Register binds an invitation to a key and certifies it.
func (s *Servers) Register(ctx context.Context, r api.Registration) (api.Registered, error) {
	key, err := requestedKey(r.CSR)
	if err != nil {
		return api.Registered{}, err
	}
	if n := len(r.SealingKey); n != 0 && n != api.SealKeySize {
		return api.Registered{}, refuse.BadRequest("sealing_key: %d bytes: want %d", n, api.SealKeySize)
	}
	now := s.now()
	return s.certify(ctx, func(tx store.Tx) (row store.AppServer, err error) {
		row, err = tx.AppServerByInvitation(sha256.Sum256([]byte(r.Token)))
		switch {
		case errors.Is(err, store.ErrNotFound), err == nil && !row.Withdrawn.IsZero():
			return row, unauthorized("the one-time token is unknown or was withdrawn: ask an administrator for another")
		case err != nil:
			return row, err
		case !now.Before(row.InvitedUntil):
			return row, unauthorized("the one-time token expired at " + row.InvitedUntil.Format(time.RFC3339) + ": ask an administrator for another")
		case row.Registered.IsZero():
			row.PublicKey, row.SealingKey, row.Registered = key, r.SealingKey, now
		case !bytes.Equal(row.PublicKey, key) || !bytes.Equal(row.SealingKey, r.SealingKey):
			return row, refuse.With(api.CodeTokenUsed, http.StatusConflict,
				"the one-time token was used with another key: if that was not this application server, withdraw %s; in any case ask an administrator for another token", row.ID)
		}
		return row, nil
	}, "appserver.registered")
}

// Renew certifies the key of a principal that [Servers.Authenticate] has returned once more.
func (s *Servers) Renew(ctx context.Context, p token.Principal) (api.Registered, error) {
	return s.certify(ctx, func(tx store.Tx) (store.AppServer, error) {
		row, err := tx.AppServer(p.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && (!row.Withdrawn.IsZero() || row.Registered.IsZero()) {
			return row, refuse.With(api.CodeForbidden, http.StatusForbidden, "only an application server that has registered renews its certificate, with that certificate")
		}
		return row, err
	}, "appserver.renewed")
}

// certify issues a certificate for the key of a row. It is signed before the transaction, which waits for no key
// service, and returned once it is recorded.
func (s *Servers) certify(ctx context.Context, find func(store.Tx) (store.AppServer, error), action string) (r api.Registered, err error) {
	err = s.authority.Again(ctx, func() (err error) {
		r, err = s.tryCertify(ctx, find, action)
		return err
	})
	return r, err
}

func (s *Servers) tryCertify(ctx context.Context, find func(store.Tx) (store.AppServer, error), action string) (api.Registered, error) {
	now := s.now()
	var row store.AppServer
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		row, err = find(tx)
		return err
	})
	if err != nil {
		return api.Registered{}, err
	}
	key, err := x509.ParsePKIXPublicKey(row.PublicKey)
	if err != nil {
		return api.Registered{}, err
	}
	prepared, err := s.authority.PrepareAppServer(row.ID, row.Name, key, now.Add(-backdate), now.Add(CertificateLifetime))
	if err != nil {
		return api.Registered{}, err
	}
	leaf, err := s.authority.Sign(prepared)
	if err != nil {
		return api.Registered{}, err
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		present, err := find(tx)
		if err != nil {
			return err
		}
		if !bytes.Equal(present.PublicKey, row.PublicKey) {
			return refuse.Conflict("another key was registered for %s in the meantime: ask an administrator for another token", row.ID)
		}
		if err := prepared.On(tx); err != nil {
			return err
		}
		row = present
		row.NotAfter = prepared.NotAfter
		if err := errors.Join(tx.UpdateAppServer(row),
			tx.InsertAppServerCertificate(store.AppServerCertificate{Serial: prepared.Serial, AppServer: row.ID, NotAfter: prepared.NotAfter})); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{
			Time: now, Actor: actor(row), Action: action, Subject: row.ID, After: prepared.Serial, Note: row.Name,
		})
	})
	if err != nil {
		return api.Registered{}, err
	}
	return api.Registered{AppServer: row.AppServer, Chain: string(s.authority.Chain(leaf))}, nil
}

func actor(row store.AppServer) string { return row.Name + " (" + row.ID + ")" }

// requestedKey is the key of a PKCS#10 request as SubjectPublicKeyInfo.
func requestedKey(csr []byte) ([]byte, error) {
	request, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, refuse.BadRequest("csr: not a PKCS#10 request in DER: %v", err)
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, refuse.BadRequest("csr: a key of the type %T: want one on P-256", request.PublicKey)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, refuse.BadRequest("csr: its signature does not prove possession of its key: %v", err)
	}
	return x509.MarshalPKIXPublicKey(request.PublicKey)
}

// Is tells whether a certificate claims to be that of an application server.
func Is(c *x509.Certificate) bool { _, is := identifier(c); return is }

func identifier(c *x509.Certificate) (id string, is bool) {
	if len(c.URIs) != 1 {
		return "", false
	}
	return strings.CutPrefix(c.URIs[0].String(), api.AppServerURI)
}

// Authenticate finds out whose certificate this is. The TLS connection has shown that the peer
// holds its key. A certificate that is not good is refused with [api.CodeUnauthorized].
func (s *Servers) Authenticate(ctx context.Context, c *x509.Certificate) (token.Principal, error) {
	id, is := identifier(c)
	now := s.now()
	switch {
	case !is || !s.authority.Signed(c):
		return token.Principal{}, unauthorized("the client certificate is not that of an application server of this platform: register first")
	case now.Before(c.NotBefore):
		return token.Principal{}, unauthorized("the client certificate is not valid before " + c.NotBefore.Format(time.RFC3339) + ": compare the clocks")
	case !now.Before(c.NotAfter):
		return token.Principal{}, unauthorized("the client certificate expired at " + c.NotAfter.Format(time.RFC3339) + ": register anew, with a one-time token from an administrator")
	}
	var row store.AppServer
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		row, err = tx.AppServer(id)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound),
		err == nil && (!row.Withdrawn.IsZero() || !bytes.Equal(row.PublicKey, c.RawSubjectPublicKeyInfo)):
		return token.Principal{}, unauthorized("the application server was withdrawn: ask an administrator for a one-time token")
	case err != nil:
		return token.Principal{}, err
	}
	return token.Principal{ID: row.ID, Name: row.Name, Role: api.RoleAppServer, Fleets: row.Fleets, SealingKey: row.SealingKey}, nil
}

func unauthorized(detail string) error {
	return refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, "%s", detail)
}

// List returns the application servers that were not withdrawn.
func (s *Servers) List(ctx context.Context, after string, limit int) (api.Page[api.AppServer], error) {
	return page.View(ctx, s.store, limit, func(tx store.Tx, most int) ([]store.AppServer, error) {
		return tx.ListAppServers(after, most)
	}, func(r store.AppServer) api.AppServer { return r.AppServer }, func(r store.AppServer) string { return r.ID })
}

// Withdraw ends an application server now, and revokes all certificates that it was given. Withdrawing it again
// changes nothing.
func (s *Servers) Withdraw(ctx context.Context, actor, id string) error {
	now := s.now()
	return s.store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.AppServer(id)
		if errors.Is(err, store.ErrNotFound) {
			return refuse.With(api.CodeUnknownServer, http.StatusNotFound, "there is no application server %q", id)
		}
		if err != nil || !row.Withdrawn.IsZero() {
			return err
		}
		row.Withdrawn = now
		given, err := tx.AppServerCertificates(id, now)
		if err != nil {
			return err
		}
		var certificates []transition.Certificate
		for _, c := range given {
			certificates = append(certificates, transition.Certificate{Serial: c.Serial, NotAfter: c.NotAfter})
		}
		code, _ := api.ReasonCessationOfOperation.CRLCode()
		if err := errors.Join(tx.UpdateAppServer(row), transition.Listed(tx, now, code, certificates...)); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{Time: now, Actor: actor, Action: "appserver.withdrawn", Subject: id, Note: row.Name})
	})
}
