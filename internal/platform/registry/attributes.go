package registry

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// SetAttributes changes a SIM's attributes and tells application servers. A change that
// changes nothing leaves no trace.
func (r *Registry) SetAttributes(ctx context.Context, actor, iccid string, c api.AttributeChange) (changed api.SIM, err error) {
	now := r.now()
	err = r.store.Update(ctx, func(tx store.Tx) error {
		row, err := sim(tx, iccid)
		if err != nil {
			return err
		}
		before := row.Attributes
		if row.Attributes, err = c.Apply(before); err != nil {
			return refuse.BadRequest("%v", err)
		}
		if maps.Equal(before, row.Attributes) {
			changed = row.SIM
			return nil
		}
		row.Updated = now
		changed = row.SIM
		if err := tx.UpdateSIM(row); err != nil {
			return err
		}
		if err := audit.Append(tx, api.AuditEntry{
			Time: now, Actor: actor, Action: "sim.attributes", Subject: iccid,
			Before: attributesText(before), After: attributesText(row.Attributes),
		}); err != nil {
			return err
		}
		return feed.SIM(tx, now, row.SIM)
	})
	return changed, err
}

// attributesText is how the audit log shows attributes.
func attributesText(a api.Attributes) string {
	pairs := make([]string, 0, len(a))
	for _, key := range slices.Sorted(maps.Keys(a)) {
		pairs = append(pairs, key+"="+a[key])
	}
	return strings.Join(pairs, " ")
}
