// Package token keeps the bearer tokens of administration. A token is 32 random bytes; the
// platform stores their SHA-256 and shows them once. Every token has a role and an end.
package token

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/page"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// Lifetimes of tokens.
const (
	defaultLifetime   = 30 * 24 * time.Hour
	appServerLifetime = 365 * 24 * time.Hour
	maxLifetime       = 5 * 365 * 24 * time.Hour
)

// prefix lets scanners for leaked secrets recognise a token.
const prefix = "simroot_"

// Principal is who makes a request, by a token or by a certificate.
type Principal struct {
	ID, Name string
	Role     api.Role
	// Fleets restrict it to what belongs to these; none: all.
	Fleets []string
	// SealingKey is the key to which PSKs are sealed for an application server.
	SealingKey []byte
}

// Sees tells whether what belongs to a fleet is there for the principal.
func (p Principal) Sees(fleet string) bool {
	return len(p.Fleets) == 0 || slices.Contains(p.Fleets, fleet)
}

// CheckFleets refuses to restrict somebody to fleets that are not there, and returns them in order,
// each once.
func CheckFleets(tx store.Tx, fleets []string) ([]string, error) {
	for _, name := range fleets {
		_, err := tx.Fleet(name)
		if errors.Is(err, store.ErrNotFound) {
			return nil, refuse.UnknownFleet(name)
		}
		if err != nil {
			return nil, err
		}
	}
	fleets = slices.Clone(fleets)
	slices.Sort(fleets)
	return slices.Compact(fleets), nil
}

// Tokens are the tokens of one platform.
type Tokens struct {
	store store.Store
	now   func() time.Time
}

// New returns the tokens of a store. A nil clock means time.Now.
func New(s store.Store, c func() time.Time) *Tokens { return &Tokens{store: s, now: clock.Of(c)} }

// Create makes a token.
func (t *Tokens) Create(ctx context.Context, actor string, r api.TokenRequest) (api.NewToken, error) {
	if r.Name == "" || len(r.Name) > 64 {
		return api.NewToken{}, refuse.BadRequest("name: want 1 to 64 bytes that tell you later whose token it is")
	}
	lifetime := time.Duration(r.Lifetime)
	switch r.Role {
	case api.RoleAdmin, api.RoleOperator, api.RoleAuditor:
		if r.Role == api.RoleAdmin && len(r.Fleets) > 0 {
			return api.NewToken{}, refuse.BadRequest("fleets: an admin could lift the restriction: take the role %q", api.RoleOperator)
		}
		if len(r.SealingKey) > 0 {
			return api.NewToken{}, refuse.BadRequest("sealing_key: only for the role %q", api.RoleAppServer)
		}
		if lifetime == 0 {
			lifetime = defaultLifetime
		}
	case api.RoleAppServer:
		if n := len(r.SealingKey); n != 0 && n != api.SealKeySize {
			return api.NewToken{}, refuse.BadRequest("sealing_key: %d bytes: want %d", n, api.SealKeySize)
		}
		if lifetime == 0 {
			lifetime = appServerLifetime
		}
	default:
		return api.NewToken{}, refuse.BadRequest("role %q: want %q, %q, %q or %q", r.Role, api.RoleAdmin, api.RoleOperator, api.RoleAuditor, api.RoleAppServer)
	}
	if lifetime < 0 || lifetime > maxLifetime {
		return api.NewToken{}, refuse.BadRequest("lifetime %s: want at most %s", r.Lifetime, maxLifetime)
	}

	var random [40]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	secret := prefix + base64.RawURLEncoding.EncodeToString(random[8:])
	now := t.now()
	row := store.Token{
		Token: api.Token{
			ID: hex.EncodeToString(random[:8]), Name: r.Name, Role: r.Role,
			Created: now, Expires: now.Add(lifetime).Truncate(time.Microsecond),
		},
		Hash:       sha256.Sum256([]byte(secret)),
		SealingKey: r.SealingKey,
	}
	err := t.store.Update(ctx, func(tx store.Tx) (err error) {
		if row.Fleets, err = CheckFleets(tx, r.Fleets); err != nil {
			return err
		}
		if err := tx.InsertToken(row); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{
			Time: now, Actor: actor, Action: "token.create", Subject: row.ID, After: strings.TrimSpace(string(r.Role) + " " + strings.Join(row.Fleets, " ")), Note: r.Name,
		})
	})
	if err != nil {
		return api.NewToken{}, err
	}
	return api.NewToken{Token: row.Token, Secret: secret}, nil
}

// Authenticate finds out whose token this is. The answer to an unknown, an expired and
// a withdrawn one is a refusal with [api.CodeUnauthorized].
func (t *Tokens) Authenticate(ctx context.Context, secret string) (Principal, error) {
	if !strings.HasPrefix(secret, prefix) {
		return Principal{}, unauthorized("this is no token of a simroot platform")
	}
	var row store.Token
	err := t.store.View(ctx, func(tx store.Tx) (err error) {
		// The look-up goes by hash, so its timing tells nothing of the secret.
		row, err = tx.TokenByHash(sha256.Sum256([]byte(secret)))
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !row.Withdrawn.IsZero():
		return Principal{}, unauthorized("the token is unknown or was withdrawn: ask an administrator for another")
	case err != nil:
		return Principal{}, err
	case !t.now().Before(row.Expires):
		return Principal{}, unauthorized("the token expired at " + row.Expires.Format(time.RFC3339) + ": ask an administrator for another")
	}
	return Principal{ID: row.ID, Name: row.Name, Role: row.Role, Fleets: row.Fleets, SealingKey: row.SealingKey}, nil
}

func unauthorized(detail string) error {
	return refuse.With(api.CodeUnauthorized, http.StatusUnauthorized, "%s", detail)
}

// List returns the tokens that were not withdrawn, expired ones included.
func (t *Tokens) List(ctx context.Context, after string, limit int) (api.Page[api.Token], error) {
	return page.View(ctx, t.store, limit, func(tx store.Tx, most int) ([]store.Token, error) {
		return tx.ListTokens(after, most)
	}, func(r store.Token) api.Token { return r.Token }, func(r store.Token) string { return r.ID })
}

// Withdraw ends a token now. Withdrawing it again changes nothing.
func (t *Tokens) Withdraw(ctx context.Context, actor, id string) error {
	now := t.now()
	return t.store.Update(ctx, func(tx store.Tx) error {
		row, err := tx.Token(id)
		if errors.Is(err, store.ErrNotFound) {
			return refuse.With(api.CodeUnknownToken, http.StatusNotFound, "there is no token %q", id)
		}
		if err != nil || !row.Withdrawn.IsZero() {
			return err
		}
		if err := tx.WithdrawToken(id, now); err != nil {
			return err
		}
		return audit.Append(tx, api.AuditEntry{
			Time: now, Actor: actor, Action: "token.withdraw", Subject: id, Before: string(row.Role), Note: row.Name,
		})
	})
}
