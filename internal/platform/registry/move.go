package registry

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/transition"
)

// UpdateFleet changes the profile of a fleet. What is on its SIMs follows at their next renewal;
// what says where on a SIM things lie cannot be changed while there are SIMs. The same profile
// again changes nothing. Version, if it is not 0, must be that of the fleet.
func (r *Registry) UpdateFleet(ctx context.Context, actor, name string, wanted api.Fleet) (changed api.Fleet, err error) {
	if wanted.Name != "" && wanted.Name != name {
		return changed, refuse.BadRequest("name: %q: a fleet keeps its name, %q", wanted.Name, name)
	}
	if wanted.Profile, err = complete(wanted.Profile); err != nil {
		return changed, err
	}
	now := r.now()
	err = r.store.Update(ctx, func(tx store.Tx) error {
		f, err := fleet(tx, name)
		if changed = f; err != nil || reflect.DeepEqual(f.Profile, wanted.Profile) {
			return err
		}
		if wanted.Version != 0 && wanted.Version != f.Version {
			return refuse.Conflict("fleet %s has version %d by now, not %d: look at it again", name, f.Version, wanted.Version)
		}
		if !samePlaces(f.Profile, wanted.Profile) {
			some, err := tx.ListSIMs(store.SIMFilter{Fleet: name}, "", 1)
			if err != nil {
				return err
			}
			if len(some) > 0 {
				return refuse.Conflict("fleet %s has SIMs: its type, slots and trust anchor stay as they are; create another fleet for SIMs with other ones", name)
			}
		}
		before, err := json.Marshal(f.Profile)
		if err != nil {
			return err
		}
		after, err := json.Marshal(wanted.Profile)
		if err != nil {
			return err
		}
		f.Profile, f.Version = wanted.Profile, f.Version+1
		if err := tx.UpdateFleet(f); err != nil {
			return err
		}
		changed = f
		return audit.Append(tx, api.AuditEntry{Time: now, Actor: actor, Action: "fleet.updated", Subject: name, Before: string(before), After: string(after)})
	})
	return changed, err
}

// samePlaces tells whether what one profile has put on a SIM is where another looks for it.
func samePlaces(a, b api.Profile) bool {
	return a.Type == b.Type && a.Slots == b.Slots && slices.Equal(a.AnchorFiles(), b.AnchorFiles())
}

// Move takes a SIM to another fleet. It keeps its credential, and gets one of the new fleet when
// it comes next. Moving it to where it is changes nothing.
func (r *Registry) Move(ctx context.Context, actor, iccid string, m api.Move) (moved api.SIM, err error) {
	if err := transition.CheckChange(m.Change); err != nil {
		return moved, err
	}
	why := transition.Cause{Time: r.now(), Actor: actor, Note: m.Note}
	err = r.store.Update(ctx, func(tx store.Tx) error {
		row, err := sim(tx, iccid)
		if err != nil {
			return err
		}
		to, err := fleet(tx, m.Fleet)
		if moved = row.SIM; err != nil || row.Fleet == to.Name {
			return err
		}
		if row.State == api.Terminated {
			return refuse.Terminated(iccid)
		}
		from, err := fleet(tx, row.Fleet)
		if err != nil {
			return err
		}
		if row.State != api.Imported && !samePlaces(from.Profile, to.Profile) {
			return refuse.Conflict("fleets %s and %s differ in their type, slots or trust anchor: what SIM %s holds would not be found any more", from.Name, to.Name, iccid)
		}
		if err := r.place(tx, why, &row, to.Name, "sim.moved"); err != nil {
			return err
		}
		moved = row.SIM
		return nil
	})
	return moved, err
}

// place puts a SIM into a fleet.
func (r *Registry) place(tx store.Tx, why transition.Cause, row *store.SIM, fleet, action string) error {
	before := row.Fleet
	row.Fleet, row.Updated = fleet, why.Time
	if err := tx.UpdateSIM(*row); err != nil {
		return err
	}
	if err := audit.Append(tx, api.AuditEntry{
		Time: why.Time, Actor: why.Actor, Action: action, Subject: row.ICCID, Before: before, After: fleet, Note: why.Note,
	}); err != nil {
		return err
	}
	return feed.SIM(tx, why.Time, row.SIM)
}

// Replace puts a SIM in the place of another, in one step: the new one, which must not have come
// yet, takes over the fleet and the attributes of the old one, and the old one is terminated. It returns the new one.
// The same again changes nothing.
func (r *Registry) Replace(ctx context.Context, actor, iccid string, p api.Replacement) (fresh api.SIM, err error) {
	if err := transition.CheckChange(p.Change); err != nil {
		return fresh, err
	}
	if p.By == iccid {
		return fresh, refuse.BadRequest("by: SIM %s cannot take its own place", iccid)
	}
	why := transition.Cause{Time: r.now(), Actor: actor, Note: p.Note}
	err = r.store.Update(ctx, func(tx store.Tx) error {
		old, err := sim(tx, iccid)
		if err != nil {
			return err
		}
		heir, err := sim(tx, p.By)
		if err != nil {
			return err
		}
		fresh = heir.SIM
		if old.State == api.Terminated {
			if heir.Replaces == iccid {
				return nil
			}
			return refuse.Terminated(iccid)
		}
		if heir.State != api.Imported {
			return refuse.Conflict("SIM %s is %s: only a SIM that has never come can take the place of another", p.By, heir.State)
		}
		heir.Replaces, heir.Attributes = iccid, old.Attributes
		if err := r.place(tx, why, &heir, old.Fleet, "sim.replaces"); err != nil {
			return err
		}
		fresh = heir.SIM
		return terminate(tx, why, &old, p.Reason)
	})
	return fresh, err
}
