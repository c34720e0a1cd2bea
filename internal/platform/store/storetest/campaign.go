package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

func campaignRow(id string) api.Campaign {
	return api.Campaign{
		ID: id, Fleet: "meters", Kind: api.RotateAll, State: api.CampaignRunning, Canary: 10, Reason: api.ReasonKeyCompromise,
		Note: "why", Actor: "me", Created: day.Add(time.Hour), Updated: day.Add(time.Hour),
	}
}

func campaignRemains(t *testing.T, s store.Store) {
	fill(t, s)
	numbers := []string{"8988210000000000050", "8988210000000000950", "8988210000000000090", "8988210000000000190"}
	update(t, s, func(tx store.Tx) (err error) {
		for i, number := range numbers {
			sim := simRow(i)
			sim.ICCID, sim.State, sim.Anchors = number, api.Provisioned, []string{"old", "new", "", "old"}[i]
			c := credentialRow("c"+number, i, api.Active)
			c.ICCID = number
			if i == 3 { // younger than the campaign
				c.Created = day.Add(2 * time.Hour)
			}
			err = errors.Join(err, tx.InsertSIM(sim), tx.InsertCredential(c))
		}
		return errors.Join(err, tx.InsertCampaign(campaignRow("k1")))
	})
	for name, c := range map[string]struct {
		selection store.CampaignSelection
		want      []string
	}{
		"credentials":              {store.CampaignSelection{Campaign: campaignRow("k1")}, numbers[:3]},
		"credentials of canaries":  {store.CampaignSelection{Campaign: campaignRow("k1"), Canaries: true}, []string{numbers[0], numbers[2]}},
		"no anchors, or other":     {store.CampaignSelection{Campaign: api.Campaign{Fleet: "meters", Kind: api.AnchorAll}, Anchors: "new"}, []string{numbers[0], numbers[2], numbers[3]}},
		"anchors of canaries":      {store.CampaignSelection{Campaign: api.Campaign{Fleet: "meters", Kind: api.AnchorAll, Canary: 7}, Canaries: true, Anchors: "new"}, []string{numbers[0]}},
		"another fleet's campaign": {store.CampaignSelection{Campaign: api.Campaign{Fleet: "others", Kind: api.RotateAll, Created: day.Add(time.Hour)}}, nil},
	} {
		view(t, s, func(tx store.Tx) error {
			n, err := tx.CampaignRemaining(c.selection)
			if n != len(c.want) || err != nil {
				t.Errorf("%s: %d remain, %v; want %d", name, n, err, len(c.want))
			}
			next, err := tx.CampaignNext(c.selection, 10)
			found := map[string]bool{}
			for _, number := range next {
				found[number] = true
			}
			for _, number := range c.want {
				if !found[number] || len(found) != len(c.want) {
					t.Errorf("%s: %v are next, want %v", name, next, c.want)
				}
			}
			if some, err := tx.CampaignNext(c.selection, 1); len(some) != min(1, len(c.want)) || err != nil {
				t.Errorf("%s: %v, %v: want no more than asked for", name, some, err)
			}
			return err
		})
	}
}

func campaignResults(t *testing.T, s store.Store) {
	fill(t, s)
	result := api.CampaignSIM{ICCID: iccid(1), State: api.SIMTrying, Attempts: 2, Problem: "cut", Updated: day}
	better := api.CampaignSIM{ICCID: iccid(1), State: api.SIMDone, Attempts: 2, Credential: "c1", Updated: day.Add(time.Second)}
	failed := api.CampaignSIM{ICCID: iccid(0), State: api.SIMFailed, Attempts: 3, Problem: "cut", Updated: day}
	aborted := campaignRow("k2")
	aborted.State, aborted.Canary, aborted.Updated = api.CampaignAborted, 0, day.Add(2*time.Hour)
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.InsertCampaign(campaignRow("k1")), tx.InsertCampaign(campaignRow("k2")), tx.UpdateCampaign(aborted),
			tx.SetCampaignSIM("k1", result), tx.SetCampaignSIM("k1", better), tx.SetCampaignSIM("k1", failed), tx.SetCampaignSIM("k2", result))
	})
	view(t, s, func(tx store.Tx) error {
		all, err := tx.ListCampaigns("", "", 10)
		same(t, "the campaigns", all, []api.Campaign{campaignRow("k1"), aborted})
		none, otherErr := tx.ListCampaigns("others", "", 10)
		same(t, "those of another fleet", len(none), 0)
		open, openErr := tx.OpenCampaigns("")
		same(t, "those that are open", open, all[:1])
		open, fleetErr := tx.OpenCampaigns("others")
		same(t, "those of a fleet without any", len(open), 0)
		results, resultsErr := tx.ListCampaignSIMs("k1", "", "", 10)
		same(t, "the results", results, []api.CampaignSIM{failed, better})
		done, doneErr := tx.ListCampaignSIMs("k1", api.SIMDone, "", 10)
		same(t, "those that are done", done, []api.CampaignSIM{better})
		one, oneErr := tx.CampaignSIM("k2", iccid(1))
		same(t, "that of one SIM", one, result)
		n, countErr := tx.CountCampaignSIMs("k1", api.SIMFailed)
		same(t, "failed are", n, 1)
		if _, err := tx.CampaignSIM("k1", iccid(2)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a result that is not there: %v", err)
		}
		return errors.Join(err, otherErr, openErr, fleetErr, resultsErr, doneErr, oneErr, countErr)
	})
	update(t, s, func(tx store.Tx) error {
		n, err := tx.ForgetFailed("k1")
		same(t, "forgotten are", n, int64(1))
		return err
	})
	view(t, s, func(tx store.Tx) error {
		left, err := tx.ListCampaignSIMs("k1", "", "", 10)
		same(t, "what is left", left, []api.CampaignSIM{better})
		return err
	})
}
