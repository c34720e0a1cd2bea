// Package transition holds the arrows of the life cycles, and makes each of them one
// change: the row, the audit entry, the feed entry and, if need be, what stands on the
// revocation lists, in one transaction.
//
//	SIM         imported → seen → provisioned ⇄ suspended → terminated
//	credential  requested → keyed → issued → delivered → active → superseded | expired | revoked
//
// Three further arrows come from practice. A SIM can be terminated from every state, since
// it can be lost in every state. A credential under way can be superseded (the SIM has
// lost its key), expired or revoked. And a superseded certificate can be revoked, since those
// who follow only the CRL would accept it to its end.
package transition

import (
	"slices"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

var simArrows = map[api.SIMState][]api.SIMState{
	api.Imported:    {api.Seen, api.Terminated},
	api.Seen:        {api.Provisioned, api.Terminated},
	api.Provisioned: {api.Suspended, api.Terminated},
	api.Suspended:   {api.Provisioned, api.Terminated},
}

var credentialArrows = map[api.CredentialState][]api.CredentialState{
	api.Requested:  {api.Keyed, api.Superseded, api.Revoked},
	api.Keyed:      {api.Issued, api.Superseded, api.Revoked},
	api.Issued:     {api.Delivered, api.Superseded, api.Expired, api.Revoked},
	api.Delivered:  {api.Active, api.Superseded, api.Expired, api.Revoked},
	api.Active:     {api.Superseded, api.Expired, api.Revoked},
	api.Superseded: {api.Revoked},
}

// Cause is who makes a change, when and why.
type Cause struct {
	Time  time.Time
	Actor string
	Note  string
}

// SIM takes a SIM to a new state, by way of others if need be, and stores the row once. It refuses
// an arrow that does not exist.
func SIM(tx store.Tx, why Cause, s *store.SIM, way ...api.SIMState) error {
	before := s.State
	for i, from := 0, before; i < len(way); i, from = i+1, way[i] {
		if !slices.Contains(simArrows[from], way[i]) {
			return refuse.Conflict("SIM %s is %s: it cannot become %s", s.ICCID, from, way[i])
		}
	}
	s.State, s.Updated = way[len(way)-1], why.Time
	if err := tx.UpdateSIM(*s); err != nil {
		return err
	}
	for from := before; len(way) > 0; from, way = way[0], way[1:] {
		s.State = way[0]
		if err := hold(tx, why, s, from); err != nil {
			return err
		}
		if err := audit.Append(tx, api.AuditEntry{
			Time: why.Time, Actor: why.Actor, Action: "sim." + string(s.State), Subject: s.ICCID,
			Before: string(from), After: string(s.State), Note: why.Note,
		}); err != nil {
			return err
		}
		if err := feed.SIM(tx, why.Time, s.SIM); err != nil {
			return err
		}
	}
	return nil
}

// Requested stores a new credential in its first state, or in a further one that it has come to
// at once: the row is stored once, each arrow has its entries.
func Requested(tx store.Tx, why Cause, c *store.Credential, further ...api.CredentialState) error {
	c.State, c.Created, c.Updated = api.Requested, why.Time, why.Time
	if err := record(tx, why, c, ""); err != nil {
		return err
	}
	for _, to := range further {
		from := c.State
		if !slices.Contains(credentialArrows[from], to) {
			return refuse.Conflict("credential %s is %s: it cannot become %s", c.ID, from, to)
		}
		c.State = to
		if err := record(tx, why, c, from); err != nil {
			return err
		}
	}
	return tx.InsertCredential(*c)
}

// Credential takes a credential to a new state and stores the row. It refuses an arrow
// that does not exist. A PSK that can never be used again is forgotten.
func Credential(tx store.Tx, why Cause, c *store.Credential, to api.CredentialState) error {
	return Through(tx, why, c, to)
}

// Through takes a credential through several states at once: the row is stored once, each
// arrow has its entries.
func Through(tx store.Tx, why Cause, c *store.Credential, way ...api.CredentialState) error {
	before := c.State
	c.Updated = why.Time
	for _, to := range way {
		from := c.State
		if !slices.Contains(credentialArrows[from], to) {
			c.State = before
			return refuse.Conflict("credential %s is %s: it cannot become %s", c.ID, from, to)
		}
		c.State = to
		if to.Final() {
			c.Secret = nil
		}
		if to == api.Revoked && c.Serial != "" {
			if err := revokeCertificate(tx, why, c); err != nil {
				return err
			}
		}
		if err := record(tx, why, c, from); err != nil {
			return err
		}
	}
	return tx.UpdateCredential(*c)
}

// Revoke takes a credential to revoked, for a reason that was checked.
func Revoke(tx store.Tx, why Cause, c *store.Credential, reason api.RevocationReason) error {
	c.Reason, c.RevokedFrom = reason, c.State
	return Credential(tx, why, c, api.Revoked)
}

// record writes down what has become of a credential.
func record(tx store.Tx, why Cause, c *store.Credential, from api.CredentialState) error {
	if err := audit.Append(tx, api.AuditEntry{
		Time: why.Time, Actor: why.Actor, Action: "credential." + string(c.State), Subject: c.ID,
		Before: string(from), After: string(c.State), Note: why.Note,
	}); err != nil {
		return err
	}
	return feed.Credential(tx, why.Time, c.Credential)
}

// CheckChange tells whether an operator's request for a change is well formed.
func CheckChange(c api.Change) error {
	if _, ok := c.Reason.CRLCode(); !ok {
		return refuse.BadRequest("reason %q: it is none of the reasons of a revocation", c.Reason)
	}
	if len(c.Note) > 200 {
		return refuse.BadRequest("note: %d bytes: want at most 200", len(c.Note))
	}
	return nil
}
