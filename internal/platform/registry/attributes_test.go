package registry_test

import (
	"maps"
	"testing"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
)

func TestAChangeOfAttributesIsWrittenDownAndToldOnce(t *testing.T) {
	w := fixture.New(t)
	iccid, ctx := w.SIM(t, "meters"), t.Context()
	change := api.AttributeChange{Set: api.Attributes{"tenant": "north", "site": "1"}}
	head := w.Feed.Head()
	sim, err := w.Registry.SetAttributes(ctx, "me", iccid, change)
	if err != nil || !maps.Equal(sim.Attributes, change.Set) {
		t.Fatal(sim, err)
	}
	events, err := w.Feed.Read(ctx, api.FeedPosition{Seq: head}, 10)
	if err != nil || len(events) != 1 || events[0].SIM == nil || !maps.Equal(events[0].SIM.Attributes, change.Set) {
		t.Errorf("the feed tells %+v, %v", events, err)
	}
	if again, err := w.Registry.SetAttributes(ctx, "me", iccid, change); err != nil || !maps.Equal(again.Attributes, change.Set) {
		t.Error(again, err)
	}
	if got := w.Feed.Head(); got != head+1 {
		t.Errorf("a repetition is told: the feed is at %d and was at %d", got, head+1)
	}
	if err := w.Store.View(ctx, func(tx store.Tx) error {
		entries, err := tx.Audit(0, 100)
		if last := entries[len(entries)-1]; last.Action != "sim.attributes" || last.Actor != "me" || last.After != "site=1 tenant=north" {
			t.Errorf("the audit log ends with %+v", last)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}

	_, err = w.Registry.SetAttributes(ctx, "me", iccid, api.AttributeChange{Set: api.Attributes{"Tenant": "x"}})
	fixture.Refused(t, err, api.CodeBadRequest)
	_, err = w.Registry.SetAttributes(ctx, "me", fixture.ICCID(999), change)
	fixture.Refused(t, err, api.CodeUnknownSIM)
	if kept, err := w.Registry.SIM(ctx, iccid); err != nil || !maps.Equal(kept.Attributes, change.Set) {
		t.Error(kept, err)
	}
}
