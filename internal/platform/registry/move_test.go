package registry_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// audited are the actions that the audit log tells of a subject, in order.
func audited(t *testing.T, w *fixture.World, subject string) (actions []string) {
	t.Helper()
	entries, err := w.Audit(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		actions = append(actions, e.Action)
	}
	return actions
}

func TestAFleetIsChangedByOneOperatorAtATime(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	f, err := w.Registry.Fleet(ctx, "meters")
	if err != nil {
		t.Fatal(err)
	}
	wanted := f
	wanted.Profile.Lifetime = api.Duration(48 * time.Hour)
	wanted.Profile.RenewBefore = api.Duration(24 * time.Hour)
	changed, err := w.Registry.UpdateFleet(ctx, "test", "meters", wanted)
	if err != nil || changed.Version != 2 || !reflect.DeepEqual(changed.Profile, wanted.Profile) {
		t.Fatal(changed, err)
	}
	if again, err := w.Registry.UpdateFleet(ctx, "test", "meters", wanted); err != nil || again.Version != 2 {
		t.Errorf("the same change again: %+v, %v", again, err)
	}
	late := f // from before the change
	late.Profile.Organization = "Late"
	_, err = w.Registry.UpdateFleet(ctx, "test", "meters", late)
	fixture.Refused(t, err, api.CodeConflict)
	late.Name, late.Version = "pumps", 0
	_, err = w.Registry.UpdateFleet(ctx, "test", "meters", late)
	fixture.Refused(t, err, api.CodeBadRequest)
	_, err = w.Registry.UpdateFleet(ctx, "test", "none", api.Fleet{})
	fixture.Refused(t, err, api.CodeUnknownFleet)
	if stored, err := w.Registry.Fleet(ctx, "meters"); err != nil || !reflect.DeepEqual(stored, changed) {
		t.Errorf("stored is %+v, %v; want %+v", stored, err, changed)
	}
	if got := audited(t, w, "meters"); len(got) != 2 || got[1] != "fleet.updated" {
		t.Errorf("audited are %v", got)
	}
}

func TestPoliciesThatContradictThemselvesAreRefused(t *testing.T) {
	w := fixture.New(t)
	for name, p := range map[string]api.Profile{
		"no renewal of that name":                {Renewal: "revive"},
		"renewal of a PSK":                       {Type: api.PSKType, Renewal: api.Renew},
		"grace of a PSK":                         {Type: api.PSKType, Grace: api.Duration(time.Hour)},
		"key age of a PSK":                       {Type: api.PSKType, KeyAge: api.Duration(10000 * time.Hour)},
		"a key that ages before its certificate": {KeyAge: api.Duration(time.Hour)},
		"negative grace":                         {Grace: -1},
		"a siege":                                {CheckIn: api.Duration(time.Second)},
		"negative rate":                          {IssuesPerDay: -1},
		"canary of all":                          {Canary: 100},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Registry.CreateFleet(t.Context(), "test", api.Fleet{Name: "pumps", Profile: p})
			fixture.Refused(t, err, api.CodeBadRequest)
		})
	}
}

func TestWhereThingsLieOnASIMIsNotChangedWhileThereAreSIMs(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	other := api.Profile{TrustAnchor: "\x77"}
	if _, err := w.Registry.UpdateFleet(ctx, "test", "meters", api.Fleet{Profile: other}); err != nil {
		t.Errorf("an empty fleet: %v", err)
	}
	w.SIM(t, "meters")
	_, err := w.Registry.UpdateFleet(ctx, "test", "meters", api.Fleet{})
	fixture.Refused(t, err, api.CodeConflict)
}

func TestASIMIsMovedToAFleetOfItsKind(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := w.Provisioned(t, "meters")
	head := w.Feed.Head()
	for range 2 { // a repetition changes nothing
		moved, err := w.Registry.Move(ctx, "test", iccid, api.Move{Fleet: "again"})
		if err != nil || moved.Fleet != "again" || moved.State != api.Provisioned {
			t.Fatal(moved, err)
		}
	}
	if w.Feed.Head() != head+1 {
		t.Errorf("%d events, want one", w.Feed.Head()-head)
	}
	if kept, err := w.Life.Credential(ctx, c.ID); err != nil || kept.State != api.Active {
		t.Errorf("the credential is %s, %v: want it kept until the next one", kept.State, err)
	}
	_, err := w.Registry.Move(ctx, "test", iccid, api.Move{Fleet: "locks"})
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.Registry.Move(ctx, "test", iccid, api.Move{Fleet: "none"})
	fixture.Refused(t, err, api.CodeUnknownFleet)
	if fresh, err := w.Registry.Move(ctx, "test", w.SIM(t, "meters"), api.Move{Fleet: "locks"}); err != nil || fresh.Fleet != "locks" {
		t.Errorf("a SIM that holds nothing yet: %+v, %v", fresh, err)
	}
	if _, err := w.Registry.Terminate(ctx, "test", iccid, api.Change{}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Registry.Move(ctx, "test", iccid, api.Move{Fleet: "meters"})
	fixture.Refused(t, err, api.CodeSIMTerminated)
}

func TestASIMTakesThePlaceOfAnotherOrNothingHappens(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	old, c := w.Provisioned(t, "meters")
	used, _ := w.Provisioned(t, "again")
	fresh := w.SIM(t, "locks")
	head := w.Feed.Head()
	for by, code := range map[string]api.Code{used: api.CodeConflict, old: api.CodeBadRequest, fixture.ICCID(999): api.CodeUnknownSIM} {
		_, err := w.Registry.Replace(ctx, "test", old, api.Replacement{By: by})
		fixture.Refused(t, err, code)
	}
	if w.Feed.Head() != head {
		t.Error("a refused replacement has changed something")
	}
	for range 2 { // a repetition changes nothing
		heir, err := w.Registry.Replace(ctx, "test", old, api.Replacement{By: fresh})
		if err != nil || heir.ICCID != fresh || heir.Fleet != "meters" || heir.Replaces != old || heir.State != api.Imported {
			t.Fatal(heir, err)
		}
	}
	if w.Feed.Head() != head+3 { // the heir, the credential, the old SIM
		t.Errorf("%d events, want three", w.Feed.Head()-head)
	}
	if gone, err := w.Registry.SIM(ctx, old); err != nil || gone.State != api.Terminated {
		t.Errorf("the old SIM is %s, %v", gone.State, err)
	}
	if revoked, err := w.Life.Credential(ctx, c.ID); err != nil || revoked.State != api.Revoked {
		t.Errorf("its credential is %s, %v", revoked.State, err)
	}
	_, err := w.Registry.Replace(ctx, "test", old, api.Replacement{By: w.SIM(t, "meters")})
	fixture.Refused(t, err, api.CodeSIMTerminated)
}
