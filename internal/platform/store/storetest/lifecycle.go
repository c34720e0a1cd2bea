package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

func fleetChanges(t *testing.T, s store.Store) {
	fill(t, s)
	other := api.Fleet{Name: "others", Profile: api.Profile{}.WithDefaults(), Created: day, Version: 1}
	changed := api.Fleet{Name: "meters", Profile: api.Profile{Lifetime: api.Duration(time.Hour)}.WithDefaults(), Created: day, Version: 7}
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.InsertFleet(other), tx.UpdateFleet(changed)) })
	view(t, s, func(tx store.Tx) error {
		all, err := tx.ListFleets("", 10)
		same(t, "the fleets", all, []api.Fleet{changed, other})
		return err
	})
	err := s.Update(t.Context(), func(tx store.Tx) error { return tx.UpdateFleet(api.Fleet{Name: "none"}) })
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a fleet that is not there was changed: %v", err)
	}
	enrolling := api.Fleet{Name: "enrolling", Profile: api.Profile{EST: &api.EST{ServerKeygen: true}}.WithDefaults(), Created: day, Version: 1}
	update(t, s, func(tx store.Tx) error { return tx.InsertFleet(enrolling) })
	for range 2 { // what a reader does to it is nobody else's business
		view(t, s, func(tx store.Tx) error {
			got, err := tx.Fleet("enrolling")
			same(t, "the fleet", got, enrolling)
			got.Profile.EST.ServerKeygen = false
			return err
		})
	}
}

func beganAndEnded(t *testing.T, s store.Store) {
	fill(t, s)
	update(t, s, func(tx store.Tx) (err error) {
		for i, state := range []api.CredentialState{api.Expired, api.Superseded, api.Revoked, api.Active} {
			for n := range 2 {
				c := credentialRow(string("abcd"[i])+string("01"[n]), n, state)
				c.Created = day.Add(time.Duration(i) * time.Hour)
				c.PublicKey = fmt.Appendf(nil, "key %d", i/2)
				c.Certificate, c.NotAfter = []byte("der"), day.Add(time.Duration(i)*time.Hour)
				err = errors.Join(err, tx.InsertCredential(c))
			}
		}
		psk := credentialRow("e0", 0, api.Expired) // no certificate, no lineage
		psk.Created, psk.NotAfter = day, day.Add(24*time.Hour)
		return errors.Join(err, tx.InsertCredential(psk))
	})
	view(t, s, func(tx store.Tx) error {
		n, first, err := tx.RequestedSince(iccid(0), day)
		if n != 3 || !first.Equal(day.Add(time.Hour)) || err != nil {
			t.Errorf("%d since %s, %v: want 3, the one at the very moment left out", n, first, err)
		}
		n, first, err = tx.RequestedSince(iccid(2), day)
		if n != 0 || !first.IsZero() || err != nil {
			t.Errorf("a SIM without credentials has begun %d since %s, %v", n, first, err)
		}
		ended, err := tx.Ended(iccid(0), 5)
		if len(ended) != 2 || ended[0].ID != "d0" || ended[1].ID != "a0" || err != nil {
			t.Errorf("%+v, %v: want the active and the expired certificate, the later end first", ended, err)
		}
		for _, c := range []struct {
			sim   int
			key   string
			since time.Time
		}{{0, "key 0", day}, {0, "key 1", day.Add(2 * time.Hour)}, {0, "key 2", time.Time{}}, {0, "", time.Time{}}, {2, "key 0", time.Time{}}} {
			if since, err := tx.KeySince(iccid(c.sim), []byte(c.key)); !since.Equal(c.since) || err != nil {
				t.Errorf("SIM %d has %q since %s, %v; want %s", c.sim, c.key, since, err, c.since)
			}
		}
		if last, err := tx.LastEnd(); !last.Equal(day.Add(3*time.Hour)) || err != nil {
			t.Errorf("the last that is not final ends at %s, %v", last, err)
		}
		ended, err = tx.Ended(iccid(1), 1)
		if len(ended) != 1 || ended[0].ID != "d1" {
			t.Errorf("%+v: want no more than asked for", ended)
		}
		return err
	})
}

func fleetsOfMany(t *testing.T, s store.Store) {
	const many = 120 // more than go into one statement
	asked := []string{"none"}
	want := map[string]store.SIMFleets{}
	update(t, s, func(tx store.Tx) error {
		err := errors.Join(tx.InsertFleet(api.Fleet{Name: "meters", Profile: api.Profile{}.WithDefaults(), Created: day}),
			tx.InsertFleet(api.Fleet{Name: "others", Profile: api.Profile{}.WithDefaults(), Created: day}))
		for n := range many {
			asked = append(asked, iccid(n))
			want[iccid(n)] = store.SIMFleets{Present: "meters"}
			err = errors.Join(err, tx.InsertSIM(simRow(n)))
		}
		moved := simRow(7)
		moved.Fleet = "others"
		old, present, again := credentialRow("a", 7, api.Superseded), credentialRow("b", 7, api.Active), credentialRow("c", 7, api.Expired)
		present.Fleet = "others"
		want[iccid(7)] = store.SIMFleets{Present: "others", Held: []string{"meters", "others"}}
		return errors.Join(err, tx.UpdateSIM(moved), tx.InsertCredential(old), tx.InsertCredential(present), tx.InsertCredential(again))
	})
	view(t, s, func(tx store.Tx) error {
		for _, n := range []int{0, 1, 2, 50, 51, len(asked)} {
			fleets, err := tx.FleetsOf(asked[:n])
			if err != nil {
				return err
			}
			some := map[string]store.SIMFleets{}
			for _, i := range asked[min(1, n):n] {
				some[i] = want[i]
			}
			same(t, fmt.Sprintf("the fleets of %d", n), fleets, some)
		}
		return nil
	})
}
