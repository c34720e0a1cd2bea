package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/rig"
)

// The history that [filteredFeed] reads: as many events of each SIM, half of them its own and half of
// its credential, with those of all fleets mixed.
const (
	feedFleets = 100
	feedSIMs   = 1000 // of each fleet
	feedEvents = 10   // of each SIM
)

// filteredFeed measures what it costs to read the feed of one fleet among many, beside reading all of it.
func filteredFeed(ctx context.Context, r *rig.Rig, _ string) ([]row, error) {
	const total = feedFleets * feedSIMs * feedEvents
	fleet := func(n int) string { return fmt.Sprintf("fleet-%d", n) }
	for n := range feedFleets {
		if err := r.Fleet(ctx, fleet(n), api.Profile{}); err != nil {
			return nil, err
		}
	}
	if err := withStore(ctx, r, func(s store.Store) error { return fillFeed(ctx, s, fleet) }); err != nil {
		return nil, err
	}
	follower := func(fleets ...string) (*api.Client, error) {
		token, err := r.Admin.CreateToken(ctx, api.TokenRequest{Name: "follower", Role: api.RoleAppServer, Fleets: fleets})
		if err != nil {
			return nil, err
		}
		roots, err := api.LoadRoots(filepath.Join(r.Dir, "ca.pem"))
		if err != nil {
			return nil, err
		}
		return api.NewClient(r.URL, api.ClientOptions{Token: token.Secret, RootCAs: roots})
	}
	all, err := follower()
	if err != nil {
		return nil, err
	}
	defer all.Close()
	one, err := follower(fleet(7))
	if err != nil {
		return nil, err
	}
	defer one.Close()
	var took [2]time.Duration
	var read [2]int
	var at [2]api.FeedPosition
	const turns = 10
	for turn := range int64(turns) {
		for i, c := range []*api.Client{all, one} {
			began := time.Now()
			n, err := readFeed(ctx, c, &at[i], total/turns*(turn+1))
			if err != nil {
				return nil, err
			}
			took[i] += time.Since(began)
			read[i] += n
		}
	}
	if read[0] != total || read[1] != total/feedFleets {
		return nil, fmt.Errorf("the feeds gave %d and %d events, want %d and %d", read[0], read[1], total, total/feedFleets)
	}
	return []row{{
		fmt.Sprintf("feed of %d events: of one fleet among %d, against all of it", total, feedFleets),
		fmt.Sprintf("%.1f s against %.1f s: %.2f ×", took[1].Seconds(), took[0].Seconds(), took[1].Seconds()/took[0].Seconds()), "≤ 1 ×",
	}}, nil
}

// readFeed reads on in the feed, up to an event, and returns how many came.
func readFeed(ctx context.Context, c *api.Client, at *api.FeedPosition, until int64) (n int, err error) {
	enough := errors.New("enough")
	err = c.Feed(ctx, at, func(line api.FeedLine) error {
		switch {
		case line.Header != nil:
			at.ID = line.Header.ID
		case line.Event != nil:
			n++
			at.Seq, at.Mark = line.Event.Seq, line.Event.Mark
		case line.Skipped != nil:
			at.Seq, at.Mark = line.Skipped.Seq, line.Skipped.Mark
		}
		if at.Seq >= until {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return n, err
}

// fillFeed stores the SIMs of all fleets, each with an active certificate, and their history.
func fillFeed(ctx context.Context, s store.Store, fleet func(int) string) error {
	now := time.Now().UTC().Truncate(time.Microsecond)
	sim := func(n int) (api.SIM, store.Credential) {
		name := fleet(n % feedFleets)
		c := stored(name, n, now)
		c.ICCID = fmt.Sprintf("8988212%012d", n)
		return api.SIM{ICCID: c.ICCID, Fleet: name, State: api.Provisioned, Created: now, Updated: now, LastSeen: now}, c
	}
	for part := range feedEvents + 1 {
		for from := 0; from < feedFleets*feedSIMs; from += fillStep {
			err := s.Update(ctx, func(tx store.Tx) (err error) {
				for n := from; n < from+fillStep && err == nil; n++ {
					row, c := sim(n)
					switch {
					case part == 0:
						err = errors.Join(tx.InsertSIM(store.SIM{SIM: row, Domain: []byte{0xA0}, Keys: make([]byte, 160)}), tx.InsertCredential(c))
					case part%2 == 1:
						err = feed.SIM(tx, now, row)
					default:
						err = feed.Credential(tx, now, c.Credential)
					}
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("fill the feed: %w", err)
			}
		}
	}
	return nil
}
