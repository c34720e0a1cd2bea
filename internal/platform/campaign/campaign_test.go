package campaign_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// fleetOf provisions n SIMs of the fleet "meters", and lets an hour pass.
func fleetOf(t *testing.T, w *fixture.World, n int) (iccids []string) {
	t.Helper()
	for range n {
		iccid, _ := w.Provisioned(t, "meters")
		iccids = append(iccids, iccid)
	}
	w.Pass(time.Hour)
	return iccids
}

func begin(t *testing.T, w *fixture.World, r api.CampaignRequest) api.Campaign {
	t.Helper()
	if r.Fleet = "meters"; r.Kind == "" {
		r.Kind = api.RotateAll
	}
	c, err := w.Campaigns.Create(t.Context(), "test", r)
	if err != nil {
		t.Fatal(err)
	}
	w.Pass(time.Minute)
	return c
}

// due tells whether a campaign wants something of a SIM.
func due(t *testing.T, w *fixture.World, iccid string) bool {
	t.Helper()
	sim, err := w.Registry.SIM(t.Context(), iccid)
	if err != nil {
		t.Fatal(err)
	}
	current, err := w.Current(t.Context(), iccid)
	if err != nil || len(current) == 0 {
		return false
	}
	wish, err := w.Campaigns.Due(t.Context(), sim, current[0].Credential)
	if err != nil {
		t.Fatal(err)
	}
	return wish.Campaign != ""
}

// visit is a SIM that comes and does what is wanted of it.
func visit(t *testing.T, w *fixture.World, iccid string) {
	t.Helper()
	current, err := w.Current(t.Context(), iccid)
	if err != nil {
		t.Fatal(err)
	}
	if !due(t, w, iccid) {
		return
	}
	if _, err := w.Provision(t.Context(), fixture.Session, iccid, 1-current[0].Slot); err != nil {
		t.Fatal(err)
	}
}

func work(t *testing.T, w *fixture.World, id string) api.Campaign {
	t.Helper()
	if err := w.Campaigns.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := w.Campaigns.Campaign(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestACampaignIsOverWhenEverySIMHasCome(t *testing.T) {
	w := fixture.New(t)
	sims := fleetOf(t, w, 3)
	c := begin(t, w, api.CampaignRequest{})
	later, _ := w.Provisioned(t, "meters") // holds a credential that is younger
	other, _ := w.Provisioned(t, "again")
	if due(t, w, later) || due(t, w, other) {
		t.Error("a SIM is due that the campaign has nothing to do with")
	}
	for i, iccid := range sims {
		if c := work(t, w, c.ID); c.State != api.CampaignRunning || c.Progress.Done != i || c.Progress.Remaining != 3-i {
			t.Errorf("after %d SIMs it is %s with %+v", i, c.State, c.Progress)
		}
		visit(t, w, iccid)
		if due(t, w, iccid) {
			t.Error("a SIM that has come is due again")
		}
	}
	if c := work(t, w, c.ID); c.State != api.CampaignFinished || c.Progress.Done != 3 || c.Progress.Remaining != 0 {
		t.Errorf("at last it is %s with %+v", c.State, c.Progress)
	}
	if _, err := w.Campaigns.Change(t.Context(), "test", c.ID, api.CampaignAbort, api.Change{}); !api.HasCode(err, api.CodeConflict) {
		t.Errorf("a campaign that is over was aborted: %v", err)
	}
}

func TestTheCanariesComeFirst(t *testing.T) {
	w := fixture.New(t)
	sims := fleetOf(t, w, 30) // numbers ...0 to ...29: of each the two digits before the last are 00, 01 and 02
	share := 2
	c := begin(t, w, api.CampaignRequest{Canary: &share})
	canaries := 0
	for _, iccid := range sims {
		if due(t, w, iccid) {
			canaries++
		}
	}
	if canaries != 20 || c.Progress.Canaries != 20 || c.Progress.Remaining != 30 {
		t.Fatalf("%d SIMs are due, progress %+v", canaries, c.Progress)
	}
	for _, iccid := range sims {
		visit(t, w, iccid)
	}
	if c := work(t, w, c.ID); c.Canary != 0 || c.Progress.Remaining != 10 || !due(t, w, sims[29]) {
		t.Errorf("when all canaries are done it is held to %d%%, with %+v", c.Canary, c.Progress)
	}
}

func TestACampaignThatWaitsForACanaryProceedsWhenTold(t *testing.T) {
	w := fixture.New(t)
	sims := fleetOf(t, w, 12)
	share := 1
	c := begin(t, w, api.CampaignRequest{Canary: &share})
	if work(t, w, c.ID); due(t, w, sims[11]) {
		t.Error("a SIM outside the share is due before the canaries are done")
	}
	if _, err := w.Campaigns.Change(t.Context(), "test", c.ID, api.CampaignProceed, api.Change{}); err != nil || !due(t, w, sims[11]) {
		t.Errorf("told to proceed it did not: %v", err)
	}
}

func TestAShareWithoutASIMIsRefused(t *testing.T) {
	w := fixture.New(t)
	share := 5
	_, err := w.Campaigns.Create(t.Context(), "test", api.CampaignRequest{Fleet: "meters", Kind: api.RotateAll, Canary: &share})
	fixture.Refused(t, err, api.CodeConflict)
}

func TestNothingIsDueInAPauseOrAfterTheEnd(t *testing.T) {
	w := fixture.New(t)
	iccid := fleetOf(t, w, 1)[0]
	c := begin(t, w, api.CampaignRequest{})
	for _, step := range []struct {
		verb api.CampaignVerb
		due  bool
	}{{api.CampaignPause, false}, {api.CampaignPause, false}, {api.CampaignResume, true}, {api.CampaignAbort, false}} {
		if _, err := w.Campaigns.Change(t.Context(), "test", c.ID, step.verb, api.Change{}); err != nil {
			t.Fatal(err)
		}
		if due(t, w, iccid) != step.due {
			t.Errorf("after %s: want due to be %v", step.verb, step.due)
		}
	}
	entries, err := w.Audit(t.Context(), c.ID)
	if err != nil || len(entries) != 4 { // the second pause changed nothing
		t.Errorf("%d audit entries, %v", len(entries), err)
	}
}

func TestOnlyWhatHasFailedIsRetried(t *testing.T) {
	w := fixture.New(t)
	sims := fleetOf(t, w, 2)
	c := begin(t, w, api.CampaignRequest{})
	visit(t, w, sims[1])
	sim, err := w.Registry.SIM(t.Context(), sims[0])
	if err != nil {
		t.Fatal(err)
	}
	for range api.CampaignAttempts {
		current, err := w.Current(t.Context(), sims[0])
		if err != nil {
			t.Fatal(err)
		}
		wish, err := w.Campaigns.Due(t.Context(), sim, current[0].Credential)
		if err != nil || wish.Campaign != c.ID {
			t.Fatal(wish, err)
		}
		if err := w.Campaigns.Failed(t.Context(), wish, sims[0], "the store is full"); err != nil {
			t.Fatal(err)
		}
	}
	if due(t, w, sims[0]) {
		t.Error("a SIM that has failed too often is tried again")
	}
	results, err := w.Campaigns.Results(t.Context(), c.ID, api.SIMFailed, "", 0)
	if err != nil || len(results.Items) != 1 || results.Items[0].Problem != "the store is full" {
		t.Errorf("failed are %+v, %v", results.Items, err)
	}
	if c := work(t, w, c.ID); c.State != api.CampaignRunning || c.Progress.Failed != 1 {
		t.Errorf("with a failure it is %s, %+v", c.State, c.Progress)
	}
	for range 2 {
		if _, err := w.Campaigns.Change(t.Context(), "test", c.ID, api.CampaignRetry, api.Change{}); err != nil {
			t.Fatal(err)
		}
	}
	if !due(t, w, sims[0]) || due(t, w, sims[1]) {
		t.Error("want due what had failed, and nothing else")
	}
}

func TestARevocationIsWorkedThroughOnceThoughItIsStoppedAndTwoAreAtIt(t *testing.T) {
	w := fixture.New(t)
	sims := fleetOf(t, w, 120)
	c := begin(t, w, api.CampaignRequest{Kind: api.RevokeAll, Reason: api.ReasonKeyCompromise})
	head := w.Feed.Head()
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Campaigns.Work(stopped); err == nil {
		t.Error("work went on after its end")
	}
	ended := make(chan error)
	for range 2 {
		go func() { ended <- w.Campaigns.Work(context.WithoutCancel(t.Context())) }()
	}
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if c := work(t, w, c.ID); c.State != api.CampaignFinished || c.Progress.Done != len(sims) {
		t.Errorf("it is %s with %+v", c.State, c.Progress)
	}
	revoked, err := w.Life.Credentials(t.Context(), credential.Filter{Fleet: "meters", State: api.Revoked}, "", 1000)
	if err != nil || len(revoked.Items) != len(sims) || revoked.Items[0].Reason != api.ReasonKeyCompromise {
		t.Errorf("%d are revoked, %v", len(revoked.Items), err)
	}
	if n := w.Feed.Head() - head; n != int64(len(sims)) {
		t.Errorf("%d events, want one for each", n)
	}
	if slices.ContainsFunc(sims, func(iccid string) bool { return due(t, w, iccid) }) {
		t.Error("a SIM is due in a campaign that needs none")
	}
}

func TestWhatAFleetCannotDoIsRefused(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	for name, c := range map[string]struct {
		request api.CampaignRequest
		code    api.Code
	}{
		"an unknown fleet":        {api.CampaignRequest{Fleet: "none", Kind: api.RotateAll}, api.CodeUnknownFleet},
		"an unknown kind":         {api.CampaignRequest{Fleet: "meters", Kind: "bless"}, api.CodeBadRequest},
		"renewal of PSKs":         {api.CampaignRequest{Fleet: "locks", Kind: api.RenewAll}, api.CodeBadRequest},
		"anchors for Type II":     {api.CampaignRequest{Fleet: "locks", Kind: api.AnchorAll}, api.CodeBadRequest},
		"a reason for a rotation": {api.CampaignRequest{Fleet: "meters", Kind: api.RotateAll, Reason: api.ReasonSuperseded}, api.CodeBadRequest},
		"a reason that is none":   {api.CampaignRequest{Fleet: "meters", Kind: api.RevokeAll, Reason: "mood"}, api.CodeBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Campaigns.Create(ctx, "test", c.request)
			fixture.Refused(t, err, c.code)
		})
	}
	_, err := w.Campaigns.Campaign(ctx, "none")
	fixture.Refused(t, err, api.CodeUnknownCampaign)
	_, err = w.Campaigns.Change(ctx, "test", "none", api.CampaignPause, api.Change{})
	fixture.Refused(t, err, api.CodeUnknownCampaign)
}
