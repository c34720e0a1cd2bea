package credential

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// checkEnrolment refuses a SIM that was revoked, unless its fleet allows it to come back.
func checkEnrolment(fleet api.Fleet, iccid string, revoked bool) error {
	if !revoked || fleet.Profile.AllowReenrolment {
		return nil
	}
	return refuse.With(api.CodeReenrolment, http.StatusForbidden,
		"a credential of SIM %s was revoked, and fleet %s does not allow it a new one", iccid, fleet.Name)
}

// aDay is the time in which the credentials that a SIM begins are counted.
const aDay = 24 * time.Hour

// checkRate refuses a SIM that begins credentials too often, and tells when it may come again.
func checkRate(tx store.Tx, now time.Time, fleet api.Fleet, iccid string) error {
	most := fleet.Profile.IssuesPerDay
	if most == 0 {
		return nil
	}
	n, first, err := tx.RequestedSince(iccid, now.Add(-aDay))
	if err != nil || n < most {
		return err
	}
	e := refuse.With(api.CodeTooManyRequests, http.StatusTooManyRequests,
		"SIM %s has begun %d credentials within a day, and fleet %s allows %d: come again later, or raise issues_per_day", iccid, n, fleet.Name, most)
	e.RetryAfter = max(time.Second, first.Add(aDay).Sub(now))
	return e
}

// lineageDepth is how many credentials that have ended count: those of both slots.
const lineageDepth = 2

// checkLineage refuses a SIM whose credential has ended, if it comes later than its fleet's grace
// or has not proved that it holds the key. A SIM that never had one may have its first.
func checkLineage(tx store.Tx, now time.Time, fleet api.Fleet, iccid string, proved *ecdsa.PublicKey) error {
	grace := time.Duration(fleet.Profile.Grace)
	if grace == 0 || fleet.Profile.AllowReenrolment {
		return nil
	}
	before, err := tx.Ended(iccid, lineageDepth)
	if err != nil || len(before) == 0 {
		return err
	}
	if end := before[0].NotAfter; now.After(end.Add(grace)) {
		return refuse.With(api.CodeReenrolment, http.StatusForbidden,
			"the credential of SIM %s ended at %s, longer ago than the %s that fleet %s allows: allow its re-enrolment, or replace the SIM", iccid, end.Format(time.RFC3339), grace, fleet.Name)
	}
	if proved != nil {
		spki, err := x509.MarshalPKIXPublicKey(proved)
		if err != nil {
			return err
		}
		for _, c := range before {
			if bytes.Equal(c.PublicKey, spki) {
				return nil
			}
		}
	}
	return refuse.With(api.CodeLineage, http.StatusForbidden,
		"SIM %s has not proved that it holds the key of its credential that has ended, as fleet %s asks: allow its re-enrolment, or replace the SIM", iccid, fleet.Name)
}

// checkKeyAge refuses a key for which the fleet wants no further certificate. One that the SIM has not
// had before is never too old.
func checkKeyAge(tx store.Tx, now time.Time, fleet api.Fleet, iccid string, spki []byte) error {
	most := time.Duration(fleet.Profile.KeyAge)
	if most == 0 {
		return nil
	}
	since, err := tx.KeySince(iccid, spki)
	if err != nil || since.IsZero() || !now.Add(time.Duration(fleet.Profile.Lifetime)).After(since.Add(most)) {
		return err
	}
	return refuse.With(api.CodeKeyTooOld, http.StatusForbidden,
		"SIM %s has its key since %s, and fleet %s certifies no key for longer than %s: come with a new key, or raise key_age", iccid, since.Format(time.RFC3339), fleet.Name, most)
}

// Renewable tells whether the key of a SIM's credential is young enough, by the rules of its fleet,
// for a further certificate ([Life.Renew]).
func (l *Life) Renewable(ctx context.Context, c Record) (young bool, err error) {
	now := l.now()
	err = l.store.View(ctx, func(tx store.Tx) error {
		s, err := tx.Standing(c.ICCID)
		if err != nil {
			return err
		}
		err = checkKeyAge(tx, now, s.Fleet, c.ICCID, c.PublicKey)
		young = err == nil
		if api.HasCode(err, api.CodeKeyTooOld) {
			err = nil
		}
		return err
	})
	return young, err
}

// Ended returns the certificates of a SIM from which its next one may descend, when all have
// ended: those that count for its lineage, the latest first.
func (l *Life) Ended(ctx context.Context, iccid string) (ended []Record, err error) {
	err = l.store.View(ctx, func(tx store.Tx) error {
		rows, err := tx.Ended(iccid, lineageDepth)
		for _, c := range rows {
			ended = append(ended, toRecord(c))
		}
		return err
	})
	return ended, err
}

// Renew begins the credential that follows a SIM's active certificate under the same key, which
// the SIM has just proved to hold: it is keyed at once, and goes into the same slot. If one is
// under way already it is returned instead.
func (l *Life) Renew(ctx context.Context, session, iccid string) (record Record, err error) {
	why := l.bySIM()
	err = l.store.Update(ctx, func(tx store.Tx) error {
		c, err := renew(tx, why, session, iccid)
		record = toRecord(c)
		return err
	})
	return record, err
}

func renew(tx store.Tx, why transition.Cause, session, iccid string) (c store.Credential, err error) {
	s, err := standing(tx, session, iccid)
	if err != nil {
		return c, err
	}
	if err := checkEnrolment(s.Fleet, iccid, s.Revoked); err != nil {
		return c, err
	}
	all, err := tx.CredentialsOf(iccid, why.Time)
	if err != nil {
		return c, err
	}
	var active *store.Credential
	for i := range all {
		switch {
		case all[i].State == api.Active:
			active = &all[i]
		case all[i].State.Final():
		case ended(all[i], why.Time):
			if err := transition.Credential(tx, byPlatform(why.Time), &all[i], api.Expired); err != nil {
				return c, err
			}
		default:
			return all[i], nil
		}
	}
	if active == nil || active.Type != api.CertificateType || s.Fleet.Profile.Type != api.CertificateType || ended(*active, why.Time) {
		return c, refuse.Conflict("SIM %s has no active certificate to renew: request a new credential", iccid)
	}
	if err := checkKeyAge(tx, why.Time, s.Fleet, iccid, active.PublicKey); err != nil {
		return c, err
	}
	if err := checkRate(tx, why.Time, s.Fleet, iccid); err != nil {
		return c, err
	}
	c = store.Credential{
		Credential: api.Credential{ID: newID(why.Time), ICCID: iccid, Fleet: s.Fleet.Name, Type: active.Type, Slot: active.Slot},
	}
	if err := transition.Requested(tx, why, &c); err != nil {
		return c, err
	}
	c.PublicKey = active.PublicKey
	return c, transition.Credential(tx, why, &c, api.Keyed)
}
