package credential

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/campaign"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// ErrFleetChanged says that a fleet is not what the caller knows of it: read it anew, and decide again.
var ErrFleetChanged = errors.New("credential: the profile of the fleet has changed")

// Enrolment asks for the certificate of a key that the device of a SIM has proved to hold. How
// the device has identified itself is one of Presented, Secret and, if both are empty,
// the caller's business, who says so in Note.
type Enrolment struct {
	Fleet     api.Fleet // as the caller has decided by it
	ICCID     string
	Key       *ecdsa.PublicKey
	Presented string // ID of the credential that was presented
	Secret    string // one-time secret, checked and used up here
	Note      string // for the audit log
}

// ByCertificate finds the credential that a certificate belongs to. It fails with
// [store.ErrNotFound] if the certificate is none that the platform has given to a SIM.
func (l *Life) ByCertificate(ctx context.Context, certificate *x509.Certificate) (c api.Credential, err error) {
	err = l.store.View(ctx, func(tx store.Tx) error {
		row, err := tx.CredentialBySerial(ca.SerialText(certificate.SerialNumber))
		if err == nil && !bytes.Equal(row.Certificate, certificate.Raw) {
			err = store.ErrNotFound
		}
		c = row.Credential
		return err
	})
	return c, err
}

// Used notes that a SIM has presented a credential. One that was delivered becomes active, and
// the one before it superseded: now it is known to have arrived. A credential that servers do
// not accept is refused.
func (l *Life) Used(ctx context.Context, id string) error {
	why := transition.Cause{Time: l.now(), Actor: audit.TheSIM, Note: "presented to the platform"}
	c, err := l.Credential(ctx, id)
	if err != nil || c.State == api.Active && why.Time.Before(c.NotAfter) {
		return err
	}
	return l.store.Update(ctx, func(tx store.Tx) error {
		c, err := find(tx, id)
		if err != nil {
			return err
		}
		s, err := tx.SIM(c.ICCID)
		if err != nil {
			return err
		}
		if err := usable(c, s, why.Time); err != nil {
			return err
		}
		return activate(tx, why, &c, &s)
	})
}

// usable refuses a credential with which nobody may come.
func usable(c store.Credential, s store.SIM, now time.Time) error {
	switch {
	case s.State == api.Suspended:
		return refuse.Suspended(s.ICCID)
	case s.State == api.Terminated:
		return refuse.Terminated(s.ICCID)
	case !c.State.Accepted():
		return refuse.With(api.CodeUnauthorized, http.StatusUnauthorized,
			"the certificate that was presented (credential %s) is %s: present the one that is in use, or enrol anew", c.ID, c.State)
	case ended(c, now):
		return refuse.With(api.CodeUnauthorized, http.StatusUnauthorized,
			"the certificate that was presented (credential %s) ended at %s: enrol anew", c.ID, c.NotAfter.Format(time.RFC3339))
	}
	return nil
}

// activate makes a credential that was delivered the active one of its SIM.
func activate(tx store.Tx, why transition.Cause, c *store.Credential, s *store.SIM) error {
	if c.State != api.Delivered {
		return nil
	}
	if err := supersedeActive(tx, why, c); err != nil {
		return err
	}
	if err := transition.Credential(tx, why, c, api.Active); err != nil {
		return err
	}
	return provisioned(tx, why, s)
}

// supersedeActive ends the credential that next takes the place of.
func supersedeActive(tx store.Tx, why transition.Cause, next *store.Credential) error {
	all, err := tx.CredentialsOf(next.ICCID, why.Time)
	if err != nil {
		return err
	}
	for i := range all {
		if all[i].State == api.Active {
			if err := supersede(tx, why, &all[i]); err != nil {
				return err
			}
			if err := campaign.Met(tx, why.Time, all[i].Credential, next.Credential); err != nil {
				return err
			}
		}
	}
	return nil
}

func provisioned(tx store.Tx, why transition.Cause, s *store.SIM) error {
	if s.State == api.Provisioned {
		return nil
	}
	return transition.SIM(tx, why, s, api.Provisioned)
}

// Enrol takes a SIM from the proof that it holds a key to a certificate that servers accept.
//
// It is idempotent: as long as a credential of the same key is accepted and need not be renewed,
// it is that which is returned. A SIM without an active credential gets one. A SIM that
// has one keeps it beside the new one, which is delivered, and becomes active when the SIM
// presents it ([Life.Used]): only then is it known to have arrived. There is at most one of
// each; an enrolment with a third key takes the place of what was delivered.
//
// It fails with [ErrFleetChanged] if the fleet is another by now.
func (l *Life) Enrol(ctx context.Context, e Enrolment) (record Record, err error) {
	err = l.ca.Again(ctx, func() (err error) {
		record, err = l.enrol(ctx, e)
		return err
	})
	return record, err
}

func (l *Life) enrol(ctx context.Context, e Enrolment) (Record, error) {
	if e.Key == nil || e.Key.Curve != elliptic.P256() {
		return Record{}, refuse.BadRequest("SIM %s: want a public key on P-256", e.ICCID)
	}
	spki, err := x509.MarshalPKIXPublicKey(e.Key)
	if err != nil {
		return Record{}, err
	}
	why := transition.Cause{Time: l.now(), Actor: audit.TheSIM, Note: e.Note}
	var p plan
	err = l.store.View(ctx, func(tx store.Tx) (err error) {
		p, err = newPlan(tx, e, spki, why.Time)
		return err
	})
	if err != nil {
		return Record{}, err
	}
	if p.done != nil && !p.changes() {
		return toRecord(*p.done), nil
	}
	// It is signed before the transaction, so that nobody waits for a key in there, and leaves only
	// after it: no certificate is out of which the store knows nothing. One that the transaction
	// does not take, because the same request came twice, is forgotten.
	made, err := l.signed(e.ICCID, e.Key, e.Fleet, why.Time)
	if err != nil {
		return Record{}, err
	}
	var c store.Credential
	err = l.store.Update(ctx, func(tx store.Tx) error {
		p, err := newPlan(tx, e, spki, why.Time)
		if err == nil && p.done == nil {
			err = made.On(tx)
		}
		if err == nil {
			c, err = p.carryOut(tx, why, spki, made)
		}
		return err
	})
	return toRecord(c), err
}

// enrolmentSession stands in the place of a relay session: an onboarding under way loses the SIM
// to an enrolment, and an enrolment to an onboarding that begins.
func enrolmentSession(id string) string { return "enrolment " + id }

// plan is what an enrolment finds.
type plan struct {
	enrolment Enrolment
	sim       store.SIM
	secret    *store.EnrolmentSecret // not used up yet
	proved    *ecdsa.PublicKey       // of a credential that has ended, and was presented
	over      []store.Credential     // whose time is over
	active    *store.Credential      // and good
	lost      *store.Credential      // under way with another key
	arrived   *store.Credential      // delivered, and presented now
	resumed   *store.Credential      // keyed with this key: the enrolment before was cut
	done      *store.Credential      // of this key: there is nothing to make
}

// changes tells whether the plan is more than to answer.
func (p plan) changes() bool {
	return p.secret != nil || p.lost != nil || p.arrived != nil || len(p.over) > 0
}

// newPlan finds out what an enrolment comes to.
func newPlan(tx store.Tx, e Enrolment, spki []byte, now time.Time) (p plan, err error) {
	p.enrolment = e
	var usedFor string
	if e.Secret != "" {
		// Before anything is told about the SIM: whoever guesses learns nothing.
		s, err := checkSecret(tx, e)
		if err != nil {
			return p, err
		}
		if usedFor = s.Credential; usedFor == "" {
			p.secret = &s
		}
	}
	found, err := tx.Standing(e.ICCID)
	if errors.Is(err, store.ErrNotFound) {
		return p, refuse.UnknownSIM(e.ICCID)
	} else if err != nil {
		return p, err
	}
	p.sim = found.SIM
	switch {
	case p.sim.State == api.Suspended:
		return p, refuse.Suspended(e.ICCID)
	case p.sim.State == api.Terminated:
		return p, refuse.Terminated(e.ICCID)
	case p.sim.Fleet != e.Fleet.Name:
		return p, refuse.With(api.CodeForbidden, http.StatusForbidden, "SIM %s does not belong to fleet %s: enrol under the label of its own fleet", e.ICCID, e.Fleet.Name)
	case found.Fleet.Version != e.Fleet.Version:
		return p, ErrFleetChanged
	}
	if e.Fleet.Profile.Type != api.CertificateType {
		return p, refuse.Conflict("fleet %s has credentials of the type %q, which are not enrolled", e.Fleet.Name, e.Fleet.Profile.Type)
	}
	all, err := tx.CredentialsOf(e.ICCID, now)
	if err != nil {
		return p, err
	}
	p.sort(all, spki, now)
	if usedFor != "" && (p.done == nil || p.done.ID != usedFor) && (p.resumed == nil || p.resumed.ID != usedFor) {
		return p, usedSecret(e.ICCID)
	}
	if e.Presented != "" && !presentable(all, e.Presented, now) {
		if err := p.afterEnd(tx, now); err != nil {
			return p, err
		}
	}
	if p.done == nil {
		if err := checkEnrolment(e.Fleet, e.ICCID, found.Revoked); err != nil {
			return p, err
		}
		if err := checkKeyAge(tx, now, e.Fleet, e.ICCID, spki); err != nil {
			return p, err
		}
	}
	return p, nil
}

// afterEnd lets a credential be presented that has ended, for as long as the fleet's grace: in the
// handshake the SIM has proved that it holds its key.
func (p *plan) afterEnd(tx store.Tx, now time.Time) error {
	c, err := find(tx, p.enrolment.Presented)
	if err != nil {
		return err
	}
	grace := time.Duration(p.enrolment.Fleet.Profile.Grace)
	inUse := c.State.Accepted() || c.State == api.Expired
	if c.ICCID != p.sim.ICCID || !inUse || !ended(c, now) || now.After(c.NotAfter.Add(grace)) {
		if err := usable(c, p.sim, now); err != nil {
			return err
		}
		return refuse.Conflict("credential %s is of another SIM", c.ID)
	}
	public, err := x509.ParsePKIXPublicKey(c.PublicKey)
	if err != nil {
		return err
	}
	p.proved, _ = public.(*ecdsa.PublicKey)
	return nil
}

// inUse is the credential that the SIM has, and keeps until it presents the new one.
func (p plan) inUse() *store.Credential { return cmp.Or(p.arrived, p.active) }

func presentable(all []store.Credential, id string, now time.Time) bool {
	for _, c := range all {
		if c.ID == id {
			return c.State.Accepted() && !ended(c, now)
		}
	}
	return false
}

// sort finds what the credentials of the SIM are to this enrolment.
func (p *plan) sort(all []store.Credential, spki []byte, now time.Time) {
	renewBefore := time.Duration(p.enrolment.Fleet.Profile.RenewBefore)
	for i := range all {
		c := &all[i]
		same := bytes.Equal(c.PublicKey, spki)
		switch {
		case c.State.Final():
		case ended(*c, now):
			p.over = append(p.over, *c)
		case c.State.Accepted() && same && now.Before(c.NotAfter.Add(-renewBefore)):
			if p.done == nil || c.State == api.Delivered { // the younger of two
				p.done = c
			}
		}
		if c.State == api.Active && !ended(*c, now) {
			p.active = c
		}
		if c.State.Final() || ended(*c, now) || c.State == api.Active {
			continue
		}
		switch {
		case c.State == api.Delivered && c.ID == p.enrolment.Presented:
			p.arrived = c
		case p.done == c:
		case c.State == api.Keyed && same:
			p.resumed = c
		default:
			p.lost = c
		}
	}
	if p.done == nil || p.done.State != api.Active {
		return
	}
	if p.arrived != nil { // which takes the place of the active one
		p.done = nil
	}
	// The device goes on with the key that it has: what was delivered beside it stays until
	// its time is over, or until another takes its place.
	p.lost = nil
}

// carryOut makes the plan's changes, with a certificate that was made for it, and returns the
// credential that the device is answered with.
func (p *plan) carryOut(tx store.Tx, why transition.Cause, spki []byte, made certified) (c store.Credential, err error) {
	for i := range p.over {
		if err := transition.Credential(tx, byPlatform(why.Time), &p.over[i], api.Expired); err != nil {
			return c, err
		}
	}
	if p.arrived != nil {
		if err := activate(tx, why, p.arrived, &p.sim); err != nil {
			return c, err
		}
	}
	if p.lost != nil {
		lost := why
		lost.Note = "the SIM enrolled with another key before it used this one"
		if err := transition.Credential(tx, lost, p.lost, api.Superseded); err != nil {
			return c, err
		}
	}
	if p.done != nil {
		c = *p.done
	} else if c, err = p.give(tx, why, spki, made); err != nil {
		return c, err
	}
	if p.secret != nil {
		p.secret.Credential = c.ID
		err = tx.SetEnrolmentSecret(*p.secret)
	}
	return c, err
}

// give gives the SIM a certificate: as the active one, or, beside another, as one that is delivered.
func (p *plan) give(tx store.Tx, why transition.Cause, spki []byte, made certified) (c store.Credential, err error) {
	var sim []api.SIMState // what becomes of it
	if p.sim.State == api.Imported {
		sim = append(sim, api.Seen)
	}
	way := []api.CredentialState{api.Issued, api.Delivered}
	if p.inUse() == nil {
		way = append(way, api.Active)
		if p.sim.State != api.Provisioned {
			sim = append(sim, api.Provisioned)
		}
	}
	if p.resumed != nil {
		c = *p.resumed
	} else if c, err = p.request(tx, why.Time); err != nil {
		return c, err
	}
	c.PublicKey = spki
	made.into(&c)
	if p.resumed != nil {
		err = transition.Through(tx, why, &c, way...)
	} else {
		err = transition.Requested(tx, why, &c, append([]api.CredentialState{api.Keyed}, way...)...)
	}
	if err != nil {
		return c, err
	}
	p.sim.Session, p.sim.LastSeen = enrolmentSession(c.ID), why.Time
	if len(sim) == 0 {
		return c, tx.UpdateSIM(p.sim)
	}
	return c, transition.SIM(tx, why, &p.sim, sim...)
}

// request is a new credential, in the slot that the active one does not occupy, if the SIM may have one.
func (p *plan) request(tx store.Tx, now time.Time) (c store.Credential, err error) {
	c = store.Credential{Credential: api.Credential{
		ID: newID(now), ICCID: p.sim.ICCID, Fleet: p.sim.Fleet, Type: api.CertificateType,
	}}
	inUse := p.inUse()
	if inUse != nil {
		c.Slot = 1 - inUse.Slot
	}
	fleet := p.enrolment.Fleet
	if inUse == nil && p.secret == nil { // a secret is an operator's word for the SIM
		if err := checkLineage(tx, now, fleet, c.ICCID, cmp.Or(p.proved, p.enrolment.Key)); err != nil {
			return c, err
		}
	}
	return c, checkRate(tx, now, fleet, c.ICCID)
}

// checkSecret finds the one-time secret of a SIM. Every refusal is the same: that the SIM is
// unknown, has no secret, or has another.
func checkSecret(tx store.Tx, e Enrolment) (store.EnrolmentSecret, error) {
	s, err := tx.EnrolmentSecret(e.ICCID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return s, err
	}
	given := api.EnrolmentHash(e.ICCID, e.Secret)
	if subtle.ConstantTimeCompare(given[:], s.Hash[:]) != 1 || err != nil {
		return s, wrongSecret()
	}
	return s, nil
}

func wrongSecret() error {
	return refuse.With(api.CodeUnauthorized, http.StatusUnauthorized,
		"user name and password are not the ICCID of a SIM and its one-time enrolment secret")
}

func usedSecret(iccid string) error {
	return refuse.With(api.CodeUnauthorized, http.StatusUnauthorized,
		"the enrolment secret of SIM %s was used for another key: enrol with the certificate that it was used for, or have a new secret made", iccid)
}
