package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

func batchesLoad(t *testing.T, s store.Store) {
	good := store.Batch{ID: "good", Fleet: "meters", State: store.BatchLoading, Updated: day}
	dead := store.Batch{ID: "dead", Fleet: "meters", State: store.BatchLoading, Updated: day.Add(time.Hour)}
	of := func(n int, batch string) store.SIM {
		row := simRow(n)
		row.Batch = batch
		return row
	}
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.InsertFleet(api.Fleet{Name: "meters", Profile: api.Profile{}.WithDefaults(), Created: day}),
			tx.InsertBatch(good), tx.InsertBatch(dead), tx.InsertSIM(simRow(0)),
			tx.InsertSIM(of(1, "good")), tx.InsertSIM(of(2, "dead")), tx.InsertSIM(of(3, "good")), tx.InsertSIM(of(4, "dead")),
			tx.SetEnrolmentSecret(store.EnrolmentSecret{ICCID: iccid(2), Created: day}),
			tx.SetEnrolmentSecret(store.EnrolmentSecret{ICCID: iccid(1), Created: day}))
	})
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.InsertBatch(good) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("a batch that is there already: %v", err)
	}
	visible := func(want ...int) {
		t.Helper()
		view(t, s, func(tx store.Tx) error {
			all, err1 := tx.ListSIMs(store.SIMFilter{}, "", 10)
			ofFleet, err2 := tx.ListSIMs(store.SIMFilter{Fleet: "meters"}, "", 10)
			same(t, "SIMs", len(all), len(want))
			same(t, "SIMs of the fleet", len(ofFleet), len(want))
			for i := range min(len(all), len(want)) {
				same(t, "SIM", all[i].ICCID, iccid(want[i]))
			}
			return errors.Join(err1, err2)
		})
	}
	visible(0)
	view(t, s, func(tx store.Tx) error {
		if _, err := tx.Standing(iccid(1)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the standing of a SIM of a batch that is loading: %v", err)
		}
		if _, err := tx.SIM(iccid(1)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a SIM of a batch that is loading: %v", err)
		}
		with, err1 := tx.BatchOf(iccid(1))
		_, missing := tx.BatchOf(iccid(9))
		stale, err2 := tx.UnfinishedBatches(day.Add(time.Minute))
		first, err3 := tx.SIMsOfBatch("good", "", 1)
		rest, err4 := tx.SIMsOfBatch("good", iccid(1), 10)
		same(t, "batch", with, "good")
		same(t, "unfinished", stale, []store.Batch{good})
		same(t, "first", first, []store.SIM{of(1, "good")})
		same(t, "rest", rest, []store.SIM{of(3, "good")})
		if !errors.Is(missing, store.ErrNotFound) {
			t.Errorf("the batch of a SIM that is not there: %v", missing)
		}
		return errors.Join(err1, err2, err3, err4)
	})
	good.State, good.Imported, good.Rejected, good.Announced, good.Updated = store.BatchComplete, 2, 1, iccid(3), day.Add(time.Second)
	update(t, s, func(tx store.Tx) error { return tx.UpdateBatch(good) })
	visible(0, 1, 3)
	update(t, s, func(tx store.Tx) error { return tx.DeleteSIMsOfBatch("dead", "", iccid(3)) })
	view(t, s, func(tx store.Tx) error {
		left, err := tx.SIMsOfBatch("dead", "", 10)
		same(t, "left", left, []store.SIM{of(4, "dead")})
		_, kept := tx.EnrolmentSecret(iccid(1))
		return errors.Join(err, kept)
	})
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.DeleteSIMsOfBatch("dead", iccid(3), iccid(4)), tx.DeleteBatch("dead"))
	})
	visible(0, 1, 3)
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Batch("good")
		same(t, "batch", got, good)
		if _, err := tx.Batch("dead"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a batch that was deleted: %v", err)
		}
		return err
	})
}

func manySIMs(t *testing.T, s store.Store) {
	fill(t, s) // with SIM 0 and others
	attributes := simRow(1000)
	attributes.Attributes, attributes.Batch = api.Attributes{"tenant": "north"}, "b"
	sims := []store.SIM{simRow(0), attributes}
	for n := range 130 { // several statements, and a rest
		sims = append(sims, simRow(2000+n), simRow(2000+n))
	}
	changed := simRow(1000)
	changed.Keys = []byte("others")
	sims = append(sims, changed)
	var want []string
	for n := range 130 {
		want = append(want, iccid(2000+n))
	}
	want = append([]string{iccid(1000)}, want...)
	update(t, s, func(tx store.Tx) error {
		made, err := tx.InsertSIMs(sims)
		slices.Sort(made)
		same(t, "made", made, want)
		none, err2 := tx.InsertSIMs(sims)
		same(t, "made again", len(none), 0)
		nothing, err3 := tx.InsertSIMs(nil)
		same(t, "made of nothing", len(nothing), 0)
		return errors.Join(err, err2, err3)
	})
	view(t, s, func(tx store.Tx) error {
		got, err := tx.SIM(iccid(1000))
		same(t, "the first of two", got, attributes)
		_, err2 := tx.SIM(iccid(2129))
		return errors.Join(err, err2)
	})
	if err := s.Update(t.Context(), func(tx store.Tx) error {
		strange := simRow(3000)
		strange.Fleet = "none of ours"
		some := append(sims[:0:0], strange)
		for n := range 60 {
			some = append(some, simRow(3001+n))
		}
		_, err := tx.InsertSIMs(some)
		return err
	}); err == nil {
		t.Error("a SIM of a fleet that is not there was made")
	}
}
