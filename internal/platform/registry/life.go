package registry

import (
	"context"
	"errors"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// Admit returns what the relay needs to speak with a SIM. It refuses a SIM that is
// unknown, suspended or terminated.
func (r *Registry) Admit(ctx context.Context, iccid string) (api.SIM, api.Fleet, SIMKeys, error) {
	var s store.Standing
	err := r.store.View(ctx, func(tx store.Tx) (err error) {
		s, err = standing(tx, iccid)
		return err
	})
	row := s.SIM
	if err != nil {
		return api.SIM{}, api.Fleet{}, SIMKeys{}, err
	}
	keys, err := r.envelope.Open(ctx, keysRecord(iccid), row.Keys)
	if err != nil {
		return api.SIM{}, api.Fleet{}, SIMKeys{}, err
	}
	return row.SIM, s.Fleet, SIMKeys{
		KeyVersion: row.KeyVersion, Domain: row.Domain,
		ENC: keys[:16:16], MAC: keys[16:32:32], DEK: keys[32:48:48],
	}, nil
}

// standing returns a SIM that may come.
func standing(tx store.Tx, iccid string) (store.Standing, error) {
	s, err := tx.Standing(iccid)
	if errors.Is(err, store.ErrNotFound) {
		return s, refuse.UnknownSIM(iccid)
	}
	if err != nil {
		return s, err
	}
	return s, welcome(s.SIM)
}

// welcome refuses a SIM that may not come.
func welcome(s store.SIM) error {
	switch s.State {
	case api.Suspended:
		return refuse.Suspended(s.ICCID)
	case api.Terminated:
		return refuse.Terminated(s.ICCID)
	}
	return nil
}

// Authenticated notes that a SIM has proved itself in a relay session, which takes over the
// SIM: from now on every step for one of its credentials must come from that session.
// The first time the SIM becomes seen. What else is to happen at that moment is done in the same transaction.
func (r *Registry) Authenticated(ctx context.Context, iccid, session string, then ...func(store.Tx, store.Standing) error) error {
	if session == "" {
		return refuse.BadRequest("a relay session without a name cannot take over a SIM")
	}
	now := r.now()
	return r.store.Update(ctx, func(tx store.Tx) error {
		s, err := standing(tx, iccid)
		if err != nil {
			return err
		}
		s.SIM.Session, s.SIM.LastSeen = session, now
		if s.SIM.State == api.Imported {
			err = transition.SIM(tx, transition.Cause{Time: now, Actor: audit.TheSIM}, &s.SIM, api.Seen)
		} else {
			err = tx.UpdateSIM(s.SIM)
		}
		for _, also := range then {
			if err == nil {
				err = also(tx, s)
			}
		}
		return err
	})
}

// Suspend makes application servers refuse a provisioned SIM until it is resumed.
func (r *Registry) Suspend(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error) {
	return r.change(ctx, actor, iccid, c, api.Suspended, nil)
}

// Resume ends a suspension.
func (r *Registry) Resume(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error) {
	return r.change(ctx, actor, iccid, c, api.Provisioned, func(_ store.Tx, _ transition.Cause, s store.SIM) error {
		if s.State != api.Suspended {
			return refuse.Conflict("SIM %s is %s, not suspended: there is nothing to resume", iccid, s.State)
		}
		return nil
	})
}

// Terminate ends a SIM's life and revokes all its credentials.
func (r *Registry) Terminate(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error) {
	return r.change(ctx, actor, iccid, c, api.Terminated, func(tx store.Tx, why transition.Cause, s store.SIM) error {
		return revokeAll(tx, why, s.ICCID, c.Reason)
	})
}

// terminate is Terminate within a transaction.
func terminate(tx store.Tx, why transition.Cause, s *store.SIM, reason api.RevocationReason) error {
	if err := revokeAll(tx, why, s.ICCID, reason); err != nil {
		return err
	}
	return transition.SIM(tx, why, s, api.Terminated)
}

// revokeAll revokes what a SIM holds, since it goes out of use unless another reason is given.
func revokeAll(tx store.Tx, why transition.Cause, iccid string, reason api.RevocationReason) error {
	credentials, err := tx.CredentialsOf(iccid, why.Time)
	if err != nil {
		return err
	}
	if reason == "" {
		reason = api.ReasonCessationOfOperation
	}
	for i := range credentials {
		if err := transition.Revoke(tx, why, &credentials[i], reason); err != nil {
			return err
		}
	}
	return nil
}

// change takes a SIM to a state at an operator's request, after what has to come first.
// A SIM that is in that state stays as it is.
func (r *Registry) change(ctx context.Context, actor, iccid string, c api.Change, to api.SIMState, first func(store.Tx, transition.Cause, store.SIM) error) (api.SIM, error) {
	if err := transition.CheckChange(c); err != nil {
		return api.SIM{}, err
	}
	why := transition.Cause{Time: r.now(), Actor: actor, Note: c.Note}
	var changed api.SIM
	err := r.store.Update(ctx, func(tx store.Tx) error {
		row, err := sim(tx, iccid)
		if err != nil {
			return err
		}
		changed = row.SIM
		if row.State == to {
			return nil
		}
		if first != nil {
			if err := first(tx, why, row); err != nil {
				return err
			}
		}
		if err := transition.SIM(tx, why, &row, to); err != nil {
			return err
		}
		changed = row.SIM
		return nil
	})
	return changed, err
}
