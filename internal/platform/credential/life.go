// Package credential moves credentials through their life:
//
//	requested → keyed → issued → delivered → active → superseded | expired | revoked
//
// Each arrow is one audit entry and one feed entry, in the transaction of the change; arrows that
// are taken at one moment share it. A method whose arrow was taken before returns the credential
// as it stands, so that a relay which lost an answer just asks again. A SIM never has more than
// one active credential and one under way.
//
// The methods of the switch-on walk carry the relay session in which the SIM proved itself
// (registry.Authenticated), and are refused with session_replaced when another session has
// taken over.
package credential

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/clock"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// Record is a credential with its public key.
type Record struct {
	api.Credential
	PublicKey []byte // SubjectPublicKeyInfo in DER; of certificates, from keyed on
}

func toRecord(c store.Credential) Record {
	return Record{Credential: c.Credential, PublicKey: c.PublicKey}
}

// Life is safe for concurrent use.
type Life struct {
	store    store.Store
	envelope *envelope.Envelope
	ca       *ca.CA
	now      func() time.Time
}

// New returns the life of the credentials in a store. A nil clock means time.Now.
func New(s store.Store, e *envelope.Envelope, c *ca.CA, now func() time.Time) *Life {
	return &Life{store: s, envelope: e, ca: c, now: clock.Of(now)}
}

// bySIM is the cause of the arrows that a SIM takes in a relay session.
func (l *Life) bySIM() transition.Cause {
	return transition.Cause{Time: l.now(), Actor: audit.TheSIM}
}

// find returns a credential.
func find(tx store.Tx, id string) (store.Credential, error) {
	c, err := tx.Credential(id)
	if errors.Is(err, store.ErrNotFound) {
		return c, refuse.UnknownCredential(id)
	}
	return c, err
}

// admitted refuses a SIM that may not take a step in the given session.
func admitted(s store.SIM, session string) error {
	switch {
	case s.State == api.Suspended:
		return refuse.Suspended(s.ICCID)
	case s.State == api.Terminated:
		return refuse.Terminated(s.ICCID)
	case session == "" || s.Session != session:
		return refuse.With(api.CodeSessionReplaced, http.StatusConflict,
			"another onboarding of SIM %s took over: only the latest one goes on", s.ICCID)
	}
	return nil
}

// standing returns a SIM that may take a step in the given session.
func standing(tx store.Tx, session, iccid string) (store.Standing, error) {
	s, err := tx.Standing(iccid)
	if errors.Is(err, store.ErrNotFound) {
		return s, refuse.UnknownSIM(iccid)
	}
	if err != nil {
		return s, err
	}
	return s, admitted(s.SIM, session)
}

// step returns a credential for which the given session may take a step.
func step(tx store.Tx, session, id string) (store.Step, error) {
	s, err := tx.Step(id)
	if errors.Is(err, store.ErrNotFound) {
		return s, refuse.UnknownCredential(id)
	}
	if err != nil {
		return s, err
	}
	return s, admitted(s.SIM, session)
}

// ended tells whether the time of a credential is over, even if no job has noted it yet.
func ended(c store.Credential, now time.Time) bool {
	return !c.NotAfter.IsZero() && !now.Before(c.NotAfter)
}

// Begun is for a SIM that has just proved itself in a session, in the transaction that notes it: it
// finds the credentials that the SIM uses or that are under way, at most one active and one other. A
// SIM that has none, of a fleet that asks for no lineage, is given its first one in a slot, unless the slot is
// [NoSlot] or [Life.Request] would refuse it.
func (l *Life) Begun(slot int, current *[]Record) func(store.Tx, store.Standing) error {
	why := l.bySIM()
	return func(tx store.Tx, s store.Standing) error {
		*current = nil
		all, err := tx.CredentialsOf(s.SIM.ICCID, why.Time)
		if err != nil {
			return err
		}
		unfinished := false // even if its time is over
		for _, c := range all {
			unfinished = unfinished || !c.State.Final()
			if !c.State.Final() && !ended(c, why.Time) {
				*current = append(*current, toRecord(c))
			}
		}
		if unfinished || slot == NoSlot || s.Fleet.Profile.Grace > 0 {
			return nil
		}
		c, err := request(tx, why, s, all, slot, nil)
		var refusal *api.Error
		if errors.As(err, &refusal) { // the SIM has come all the same
			return nil
		}
		if err == nil {
			*current = append(*current, toRecord(c))
		}
		return err
	}
}

// NoSlot is none of the two slots of a SIM.
const NoSlot = -1

// Request decides to give a SIM a credential in a slot, which its active one must not
// occupy. If one is under way already it is returned instead, whatever its slot. Where the
// fleet asks for a lineage, proved is the key of a credential that has ended, and that the SIM
// has shown to hold; see [Life.Ended].
func (l *Life) Request(ctx context.Context, session, iccid string, slot int, proved *ecdsa.PublicKey) (record Record, err error) {
	if slot != 0 && slot != 1 {
		return record, refuse.BadRequest("slot %d: want 0 or 1", slot)
	}
	why := l.bySIM()
	err = l.store.Update(ctx, func(tx store.Tx) error {
		s, err := standing(tx, session, iccid)
		if err != nil {
			return err
		}
		all, err := tx.CredentialsOf(iccid, why.Time)
		if err != nil {
			return err
		}
		c, err := request(tx, why, s, all, slot, proved)
		record = toRecord(c)
		return err
	})
	return record, err
}

// request is Request for a SIM with the given credentials. It refuses before it changes anything but
// the state of credentials whose time is over.
func request(tx store.Tx, why transition.Cause, s store.Standing, all []store.Credential, slot int, proved *ecdsa.PublicKey) (store.Credential, error) {
	iccid, fleet := s.SIM.ICCID, s.Fleet
	if err := checkEnrolment(fleet, iccid, s.Revoked); err != nil {
		return store.Credential{}, err
	}
	holds := false // a credential that is good
	for i := range all {
		c := &all[i]
		switch {
		case c.State.Final():
		case ended(*c, why.Time):
			if err := transition.Credential(tx, byPlatform(why.Time), c, api.Expired); err != nil {
				return store.Credential{}, err
			}
		case c.State != api.Active:
			return *c, nil
		case c.Slot == slot:
			return store.Credential{}, refuse.Conflict("slot %d of SIM %s holds its active credential: a new one needs the other slot", slot, iccid)
		default:
			holds = true
		}
	}
	if !holds {
		if err := checkLineage(tx, why.Time, fleet, iccid, proved); err != nil {
			return store.Credential{}, err
		}
	}
	if err := checkRate(tx, why.Time, fleet, iccid); err != nil {
		return store.Credential{}, err
	}
	c := store.Credential{Credential: api.Credential{
		ID: newID(why.Time), ICCID: iccid, Fleet: fleet.Name, Type: fleet.Profile.Type, Slot: slot,
	}}
	return c, transition.Requested(tx, why, &c)
}

// newID is an identifier that sorts by time: six bytes of milliseconds and ten random ones,
// in hexadecimal.
func newID(now time.Time) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// move is a credential that is about to go a way, most often of one arrow.
type move struct {
	store.Step
	way []api.CredentialState
}

// advance takes a credential to a further state within a session. Credentials that have come at least that
// far are returned as they are; prepare fills the row, may refuse, and may put an arrow before the one.
func (l *Life) advance(ctx context.Context, session, id string, to api.CredentialState, prepare func(tx store.Tx, why transition.Cause, m *move) error) (record Record, err error) {
	why := l.bySIM()
	err = l.store.Update(ctx, func(tx store.Tx) error {
		found, err := step(tx, session, id)
		if err != nil {
			return err
		}
		m := move{found, []api.CredentialState{to}}
		c := &m.Credential
		if !c.State.Final() && reached(c.State, to) {
			record = toRecord(*c)
			return nil
		}
		if ended(*c, why.Time) && !c.State.Final() {
			return refuse.Conflict("credential %s ended at %s before it was %s: request a new one", id, c.NotAfter.Format(time.RFC3339), to)
		}
		if prepare != nil {
			if err := prepare(tx, why, &m); err != nil {
				return err
			}
		}
		if err := transition.Through(tx, why, c, m.way...); err != nil {
			return err
		}
		record = toRecord(*c)
		return nil
	})
	return record, err
}

// order is the way of a credential to its use.
var order = map[api.CredentialState]int{api.Requested: 0, api.Keyed: 1, api.Issued: 2, api.Delivered: 3, api.Active: 4}

// reached tells whether a credential that is not final has come at least to a state.
func reached(state, to api.CredentialState) bool { return order[state] >= order[to] }

// Deliver notes that the credential is on the SIM, and makes application servers accept
// it. It must be answered before the block that activates it leaves the platform.
func (l *Life) Deliver(ctx context.Context, session, id string) (Record, error) {
	return l.advance(ctx, session, id, api.Delivered, nil)
}

// Abandon gives up a credential under way that the SIM cannot use any more: it is
// superseded, and the next Request makes a new one. Abandoning it again changes nothing.
func (l *Life) Abandon(ctx context.Context, session, id, note string) error {
	why := l.bySIM()
	why.Note = note
	return l.store.Update(ctx, func(tx store.Tx) error {
		found, err := step(tx, session, id)
		c := found.Credential
		if err != nil || c.State.Final() {
			return err
		}
		if c.State == api.Active {
			return refuse.Conflict("credential %s is active: it ends when another takes its place", id)
		}
		return transition.Credential(tx, why, &c, api.Superseded)
	})
}
