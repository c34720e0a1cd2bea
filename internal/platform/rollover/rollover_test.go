package rollover_test

import (
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/rollover"
	"github.com/simroot/simroot/internal/platform/store"
)

func TestARolloverWaitsForTheLastSIM(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	first, _ := w.Provisioned(t, "meters")
	second, _ := w.Provisioned(t, "again")
	w.Provisioned(t, "locks") // holds no trust anchor
	w.SIM(t, "meters")        // has never come
	s, err := w.Rollover.Begin(ctx, "test", api.Change{})
	if err != nil || s.State != api.RolloverBegun || s.Without["meters"] != 1 || s.Without["again"] != 1 || len(s.Without) != 2 {
		t.Fatalf("%+v, %v", s, err)
	}
	set := w.CA.OnSIM().Set
	for _, iccid := range []string{first, second} {
		_, err := w.Rollover.Finish(ctx, "test", api.FinishRollover{})
		fixture.Refused(t, err, api.CodeConflict)
		if err := w.Campaigns.Anchored(ctx, iccid, set); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a repetition changes nothing
		if s, err = w.Rollover.Finish(ctx, "test", api.FinishRollover{}); err != nil || s.State != api.RolloverFinished || s.Issuing == s.Before {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	entries, err := w.Audit(ctx, s.Issuing)
	if err != nil || len(entries) != 2 {
		t.Errorf("%d audit entries, %v: want the beginning and the end", len(entries), err)
	}
}

func TestTheOldCAIsTrustedUntilItsLastCertificateHasEnded(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	day := 24 * time.Hour
	if _, err := w.Registry.CreateFleet(ctx, "test", api.Fleet{Name: "slow", Profile: api.Profile{Lifetime: api.Duration(400 * day)}}); err != nil {
		t.Fatal(err)
	}
	_, c := w.Provisioned(t, "slow")
	if _, err := w.Rollover.Begin(ctx, "test", api.Change{}); err != nil {
		t.Fatal(err)
	}
	s, err := w.Rollover.Finish(ctx, "test", api.FinishRollover{Force: true})
	if err != nil || s.Until.Before(c.NotAfter) {
		t.Fatalf("the old CA counts until %s, its certificate until %s, %v", s.Until, c.NotAfter, err)
	}
	for _, step := range []struct {
		wait  time.Duration
		state api.RolloverState
	}{{399 * day, api.RolloverFinished}, {2 * day, api.NoRollover}} {
		w.Pass(step.wait)
		if err := w.Rollover.Work(ctx); err != nil {
			t.Fatal(err)
		}
		if s, err = w.Rollover.Status(ctx); err != nil || s.State != step.state {
			t.Errorf("it is %s, %v; want %s", s.State, err, step.state)
		}
	}
}

func TestAnAbortedRolloverIsAsIfItHadNotBeen(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, _ := w.Provisioned(t, "meters")
	if err := w.Campaigns.Anchored(ctx, iccid, w.CA.OnSIM().Set); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Rollover.Begin(ctx, "test", api.Change{}); err != nil {
		t.Fatal(err)
	}
	s, err := w.Rollover.Abort(ctx, "test", api.Change{})
	if err != nil || s.State != api.NoRollover || s.Next != "" || len(s.Without) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = w.Rollover.Finish(ctx, "test", api.FinishRollover{Force: true})
	fixture.Refused(t, err, api.CodeConflict)
}

// newRollover is the rollover of a node over another store.
func newRollover(rows store.Store, w *fixture.World) *rollover.Rollover {
	return rollover.New(rollover.Options{Store: rows, CA: w.CA, Clock: w.Now})
}
