package credential

import (
	"context"
	"errors"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/page"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// Filter restricts a list of credentials; empty fields restrict nothing.
type Filter struct {
	ICCID, Fleet string
	State        api.CredentialState
}

// byPlatform is the cause of what the platform does by itself.
func byPlatform(now time.Time) transition.Cause {
	return transition.Cause{Time: now, Actor: audit.Platform}
}

// Credential returns one credential.
func (l *Life) Credential(ctx context.Context, id string) (c api.Credential, err error) {
	err = l.store.View(ctx, func(tx store.Tx) error {
		row, err := find(tx, id)
		c = row.Credential
		return err
	})
	return c, err
}

// Credentials lists credentials, older ones first.
func (l *Life) Credentials(ctx context.Context, f Filter, after string, limit int) (api.Page[api.Credential], error) {
	return page.View(ctx, l.store, limit, func(tx store.Tx, most int) ([]store.Credential, error) {
		return tx.ListCredentials(store.CredentialFilter(f), after, most)
	}, func(c store.Credential) api.Credential { return c.Credential }, func(c store.Credential) string { return c.ID })
}

// Revoke ends a credential for good. Revoking it again changes nothing. In a fleet that
// does not allow re-enrolment it takes the SIM's credential under way with it, which would
// otherwise give the SIM a new one.
func (l *Life) Revoke(ctx context.Context, actor, id string, change api.Change) (revoked api.Credential, err error) {
	if err := transition.CheckChange(change); err != nil {
		return revoked, err
	}
	why := transition.Cause{Time: l.now(), Actor: actor, Note: change.Note}
	err = l.store.Update(ctx, func(tx store.Tx) error {
		c, err := find(tx, id)
		revoked = c.Credential
		if err != nil || c.State == api.Revoked {
			return err
		}
		if c.State == api.Superseded && (c.Certificate == nil || ended(c, why.Time)) {
			return refuse.Conflict("credential %s is superseded and nobody accepts it any more: there is nothing to revoke", id)
		}
		inUse := !c.State.Final()
		if err := transition.Revoke(tx, why, &c, reasonOf(change)); err != nil {
			return err
		}
		revoked = c.Credential
		if !inUse {
			return nil
		}
		return revokeUnderWay(tx, why, c, reasonOf(change))
	})
	return revoked, err
}

func reasonOf(c api.Change) api.RevocationReason {
	if c.Reason == "" {
		return api.ReasonUnspecified
	}
	return c.Reason
}

// revokeUnderWay revokes the credential under way of a SIM that may not enrol again.
func revokeUnderWay(tx store.Tx, why transition.Cause, revoked store.Credential, reason api.RevocationReason) error {
	fleet, err := tx.Fleet(revoked.Fleet)
	if err != nil || fleet.Profile.AllowReenrolment {
		return err
	}
	all, err := tx.CredentialsOf(revoked.ICCID, why.Time)
	if err != nil {
		return err
	}
	for i := range all {
		if c := &all[i]; !c.State.Final() && c.State != api.Active {
			if err := transition.Revoke(tx, why, c, reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// RevokeSIM revokes all credentials of a SIM that somebody might accept, those under way
// and superseded certificates included, and returns them. The SIM itself stays in its state.
func (l *Life) RevokeSIM(ctx context.Context, actor, iccid string, change api.Change) ([]api.Credential, error) {
	if err := transition.CheckChange(change); err != nil {
		return nil, err
	}
	why := transition.Cause{Time: l.now(), Actor: actor, Note: change.Note}
	var revoked []api.Credential
	err := l.store.Update(ctx, func(tx store.Tx) error {
		revoked = []api.Credential{}
		if _, err := tx.SIM(iccid); errors.Is(err, store.ErrNotFound) {
			return refuse.UnknownSIM(iccid)
		} else if err != nil {
			return err
		}
		all, err := tx.CredentialsOf(iccid, why.Time)
		if err != nil {
			return err
		}
		for i := range all {
			if err := transition.Revoke(tx, why, &all[i], reasonOf(change)); err != nil {
				return err
			}
			revoked = append(revoked, all[i].Credential)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return revoked, nil
}

// expireGroup is how many credentials one transaction of [Life.Expire] ends.
const expireGroup = 100

// Expire ends the credentials whose time is over at now, and returns how many there
// were. It is a job, to be run every few minutes; nobody accepts them meanwhile, since their
// end is part of them.
func (l *Life) Expire(ctx context.Context, now time.Time) (total int, err error) {
	now = now.UTC().Truncate(time.Microsecond)
	for {
		var some []store.Credential
		err := l.store.View(ctx, func(tx store.Tx) (err error) {
			some, err = tx.Expiring(now, 1)
			return err
		})
		if err != nil || len(some) == 0 { // most often: no need to disturb the writer
			return total, err
		}
		err = l.store.Update(ctx, func(tx store.Tx) (err error) {
			if some, err = tx.Expiring(now, expireGroup); err != nil {
				return err
			}
			for i := range some {
				if err := transition.Credential(tx, byPlatform(now), &some[i], api.Expired); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total += len(some)
	}
}
