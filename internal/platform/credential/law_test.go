package credential_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
)

// act is one call that somebody may make for a SIM at any time.
type act func(ctx context.Context, w *fixture.World, iccid, session, id string, slot int, key *ecdsa.PublicKey) error

var acts = map[string]act{
	"authenticated": func(ctx context.Context, w *fixture.World, iccid, session, _ string, _ int, _ *ecdsa.PublicKey) error {
		return w.Registry.Authenticated(ctx, iccid, session)
	},
	"request": func(ctx context.Context, w *fixture.World, iccid, session, _ string, slot int, _ *ecdsa.PublicKey) error {
		_, err := w.Life.Request(ctx, session, iccid, slot, nil)
		return err
	},
	"renew": func(ctx context.Context, w *fixture.World, iccid, session, _ string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Life.Renew(ctx, session, iccid)
		return err
	},
	"keyed": func(ctx context.Context, w *fixture.World, _, session, id string, _ int, key *ecdsa.PublicKey) error {
		_, err := w.Life.Keyed(ctx, session, id, key)
		return err
	},
	"certify": func(ctx context.Context, w *fixture.World, _, session, id string, _ int, key *ecdsa.PublicKey) error {
		c, err := w.Life.Credential(ctx, id)
		if err != nil {
			return err
		}
		fleet, err := w.Registry.Fleet(ctx, c.Fleet)
		if err != nil {
			return err
		}
		_, err = w.Life.Certify(ctx, session, credential.Record{Credential: c}, key, fleet)
		return err
	},
	"keyed secret": func(ctx context.Context, w *fixture.World, _, session, id string, _ int, _ *ecdsa.PublicKey) error {
		_, _, err := w.Life.KeyedSecret(ctx, session, id)
		return err
	},
	"issue": func(ctx context.Context, w *fixture.World, _, session, id string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Life.Issue(ctx, session, id)
		return err
	},
	"deliver": func(ctx context.Context, w *fixture.World, _, session, id string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Life.Deliver(ctx, session, id)
		return err
	},
	"activate": func(ctx context.Context, w *fixture.World, iccid, session, id string, _ int, _ *ecdsa.PublicKey) error {
		var confirmation *api.Confirmation
		if c, err := w.Life.Credential(ctx, id); err == nil && c.Type == api.PSKType {
			secret, err := w.PSK(ctx, id)
			if err != nil {
				return err
			}
			confirmation = fixture.Confirm(iccid, secret)
		}
		_, err := w.Life.Activate(ctx, session, id, confirmation, "")
		return err
	},
	"abandon": func(ctx context.Context, w *fixture.World, _, session, id string, _ int, _ *ecdsa.PublicKey) error {
		return w.Life.Abandon(ctx, session, id, "")
	},
	"revoke": func(ctx context.Context, w *fixture.World, _, _, id string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Life.Revoke(ctx, "test", id, api.Change{})
		return err
	},
	"revoke SIM": func(ctx context.Context, w *fixture.World, iccid, _, _ string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Life.RevokeSIM(ctx, "test", iccid, api.Change{})
		return err
	},
	"suspend": func(ctx context.Context, w *fixture.World, iccid, _, _ string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Registry.Suspend(ctx, "test", iccid, api.Change{})
		return err
	},
	"resume": func(ctx context.Context, w *fixture.World, iccid, _, _ string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Registry.Resume(ctx, "test", iccid, api.Change{})
		return err
	},
	"move": func(ctx context.Context, w *fixture.World, iccid, _, _ string, slot int, _ *ecdsa.PublicKey) error {
		_, err := w.Registry.Move(ctx, "test", iccid, api.Move{Fleet: [2]string{"meters", "again"}[slot]})
		return err
	},
	"replace": func(ctx context.Context, w *fixture.World, iccid, _, _ string, slot int, _ *ecdsa.PublicKey) error {
		return replace(ctx, w, iccid, [2]string{"meters", "locks"}[slot])
	},
	"terminate": func(ctx context.Context, w *fixture.World, iccid, _, _ string, _ int, _ *ecdsa.PublicKey) error {
		_, err := w.Registry.Terminate(ctx, "test", iccid, api.Change{})
		return err
	},
	"expire": func(ctx context.Context, w *fixture.World, _, _, _ string, _ int, _ *ecdsa.PublicKey) error {
		w.Pass(20 * 24 * time.Hour)
		_, err := w.Life.Expire(ctx, w.Now())
		return err
	},
}

// replace puts a new SIM of a fleet in the place of another, and holds the two to the law: both are
// changed, or neither.
func replace(ctx context.Context, w *fixture.World, iccid, fleet string) error {
	heirs, err := w.Import(ctx, fleet, 1)
	if err != nil {
		return err
	}
	before, err := w.Registry.SIM(ctx, iccid)
	if err != nil {
		return err
	}
	_, refusal := w.Registry.Replace(ctx, "test", iccid, api.Replacement{By: heirs[0]})
	after, err1 := w.Registry.SIM(ctx, iccid)
	heir, err2 := w.Registry.SIM(ctx, heirs[0])
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	want := api.SIM{State: before.State, Fleet: fleet}
	if refusal == nil {
		want = api.SIM{State: api.Terminated, Fleet: before.Fleet, Replaces: iccid}
	}
	if after.State != want.State || heir.Fleet != want.Fleet || heir.Replaces != want.Replaces || heir.State != api.Imported {
		return fmt.Errorf("after the answer %v the SIM is %s, and the one in its place is %+v", refusal, after.State, heir)
	}
	return refusal
}

// onward is the call that takes a SIM with this latest credential further.
func onward(c api.Credential) string {
	switch c.State {
	case api.Requested:
		if c.Type == api.PSKType {
			return "keyed secret"
		}
		return "keyed"
	case api.Keyed:
		return "issue"
	case api.Issued:
		return "deliver"
	case api.Delivered:
		return "activate"
	}
	return "request"
}

// names are the calls in a fixed order, those that end all left out.
var names = []string{
	"authenticated", "request", "renew", "move", "keyed", "certify", "keyed secret", "issue", "deliver", "activate",
	"abandon", "revoke", "revoke SIM", "suspend", "resume", "expire",
}

// refusedOrFine tells whether a call ended as calls may end: well, or with a refusal.
func refusedOrFine(err error) bool {
	var refusal *api.Error
	return err == nil || errors.As(err, &refusal)
}

// history checks what the feed says of one SIM against the laws, from the event after the
// given one on, and returns the state that its events add up to.
func history(ctx context.Context, w *fixture.World, iccid string, after int64) (sim api.SIM, all map[string]api.Credential, err error) {
	all = map[string]api.Credential{}
	for {
		events, err := w.Feed.Read(ctx, api.FeedPosition{Seq: after}, 1000)
		if err != nil || len(events) == 0 {
			return sim, all, err
		}
		for _, e := range events {
			if after++; e.Seq != after {
				return sim, all, fmt.Errorf("event %d follows event %d", e.Seq, after-1)
			}
			if e.SIM != nil && e.SIM.ICCID == iccid {
				if sim.State == api.Terminated {
					return sim, all, fmt.Errorf("a terminated SIM became %s", e.SIM.State)
				}
				sim = *e.SIM
			}
			if e.Credential == nil || e.Credential.ICCID != iccid {
				continue
			}
			if old, known := all[e.Credential.ID]; !known && e.Credential.Fleet != sim.Fleet || known && e.Credential.Fleet != old.Fleet {
				return sim, all, fmt.Errorf("a SIM of fleet %s has a credential of fleet %s, which was %q", sim.Fleet, e.Credential.Fleet, old.Fleet)
			}
			if old := all[e.Credential.ID].State; old == api.Revoked || old == api.Expired || old == api.Superseded && e.Credential.State != api.Revoked {
				return sim, all, fmt.Errorf("a credential went from %s to %s", old, e.Credential.State)
			}
			all[e.Credential.ID] = *e.Credential
			active, unfinished := 0, 0
			places := map[int]string{}
			for _, c := range all {
				switch {
				case c.State == api.Active:
					active++
				case !c.State.Final():
					unfinished++
				}
				if !c.State.Accepted() {
					continue
				}
				key, err := inPlace(c)
				if err != nil {
					return sim, all, err
				}
				if other, taken := places[c.Slot]; taken && other != key {
					return sim, all, fmt.Errorf("after event %d servers accept two keys in slot %d", e.Seq, c.Slot)
				}
				places[c.Slot] = key
			}
			if active > 1 || unfinished > 1 {
				return sim, all, fmt.Errorf("after event %d the SIM has %d active and %d unfinished credentials", e.Seq, active, unfinished)
			}
		}
	}
}

// inPlace is what a credential occupies its slot with: its key, or its PSK.
func inPlace(c api.Credential) (string, error) {
	if c.Type == api.PSKType {
		if c.State == api.Active && c.Confirmation == nil {
			return "", fmt.Errorf("PSK %s is active, and no SIM has confirmed it", c.ID)
		}
		return c.Identity, nil
	}
	leaf, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		return "", fmt.Errorf("credential %s in slot %d is %s: %w", c.ID, c.Slot, c.State, err)
	}
	return string(leaf.RawSubjectPublicKeyInfo), nil
}

// ownKeys checks that every certificate of a SIM is for the key of its credential.
func ownKeys(tx store.Tx, iccid string) error {
	rows, err := tx.ListCredentials(store.CredentialFilter{ICCID: iccid}, "", 1000)
	for _, c := range rows {
		if c.Certificate == nil || err != nil {
			continue
		}
		leaf, parsed := x509.ParseCertificate(c.Certificate)
		if err = parsed; err == nil && !bytes.Equal(leaf.RawSubjectPublicKeyInfo, c.PublicKey) {
			err = fmt.Errorf("credential %s has the certificate of another key", c.ID)
		}
	}
	return err
}

// checkLaws compares the feed with the tables.
func checkLaws(ctx context.Context, w *fixture.World, iccid string, after int64) error {
	replayed, replayedAll, err := history(ctx, w, iccid, after)
	if err != nil {
		return err
	}
	sim, err := w.Registry.SIM(ctx, iccid)
	if err != nil {
		return err
	}
	sim.LastSeen, replayed.LastSeen = time.Time{}, time.Time{} // seeing a SIM again is no event
	if !reflect.DeepEqual(sim, replayed) {
		return fmt.Errorf("the feed says %+v, the registry %+v", replayed, sim)
	}
	stored := map[string]api.Credential{}
	for after := ""; ; {
		p, err := w.Life.Credentials(ctx, credential.Filter{ICCID: iccid}, after, 0)
		if err != nil {
			return err
		}
		for _, c := range p.Items {
			stored[c.ID] = c
			if sim.State == api.Terminated && c.State.Accepted() {
				return fmt.Errorf("credential %s of a terminated SIM is %s", c.ID, c.State)
			}
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if !reflect.DeepEqual(stored, replayedAll) {
		return fmt.Errorf("the feed says %+v, the store %+v", replayedAll, stored)
	}
	return w.Store.View(ctx, func(tx store.Tx) error { return ownKeys(tx, iccid) })
}

// known are the credentials of a SIM, the latest last, behind one that is not there.
func known(ctx context.Context, w *fixture.World, iccid string) ([]api.Credential, error) {
	p, err := w.Life.Credentials(ctx, credential.Filter{ICCID: iccid}, "", 0)
	return append([]api.Credential{{ID: "none"}}, p.Items...), err
}

func keys(t *testing.T) (all []*ecdsa.PublicKey) {
	t.Helper()
	for range 2 {
		key, err := fixture.Key()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, key)
	}
	return all
}

func TestNoSequenceOfCallsBreaksTheLaws(t *testing.T) {
	w, pairs, ctx := fixture.New(t), keys(t), t.Context()
	done := map[string]int{}
	rapid.Check(t, func(r *rapid.T) {
		after := w.Feed.Head()
		fleet := rapid.SampledFrom([]string{"meters", "again", "locks"}).Draw(r, "fleet")
		iccids, err := w.Import(ctx, fleet, 1)
		if err != nil {
			r.Fatal(err)
		}
		if err := w.Registry.Authenticated(ctx, iccids[0], "a"); err != nil {
			r.Fatal(err)
		}
		for range rapid.IntRange(1, 25).Draw(r, "calls") {
			w.Pass(time.Minute)
			all, err := known(ctx, w, iccids[0])
			if err != nil {
				r.Fatal(err)
			}
			c := all[len(all)-1]
			name, session, slot := onward(c), "a", (1+c.Slot)%2
			if c.State == api.Active && rapid.Bool().Draw(r, "renew") {
				name = "renew"
			}
			switch rapid.IntRange(0, 9).Draw(r, "way") {
			case 0: // anything, on anything
				name = rapid.SampledFrom(names).Draw(r, "call")
				c = rapid.SampledFrom(all).Draw(r, "credential")
				session = rapid.SampledFrom([]string{"a", "a", "b"}).Draw(r, "session")
				slot = rapid.IntRange(0, 1).Draw(r, "slot")
			case 1:
				name = rapid.SampledFrom([]string{"authenticated", "resume", "abandon", "suspend", "revoke", "expire", "move", "replace", "terminate"}).Draw(r, "turn")
			}
			err = acts[name](ctx, w, iccids[0], session, c.ID, slot, rapid.SampledFrom(pairs).Draw(r, "key"))
			if !refusedOrFine(err) {
				r.Fatalf("%s: %v", name, err)
			}
			if err == nil {
				done[name]++
			}
		}
		if err := checkLaws(ctx, w, iccids[0], after); err != nil {
			r.Fatal(err)
		}
	})
	for name, least := range map[string]int{"activate": 20, "renew": 5, "move": 5, "replace": 3} {
		if done[name] < least {
			t.Errorf("%s was done %d times: the sequences do not come far enough to say anything", name, done[name])
		}
	}
}

func TestNoCallsAtOnceBreakTheLaws(t *testing.T) {
	w, pairs, ctx := fixture.New(t), keys(t), t.Context()
	for _, fleet := range []string{"again", "again", "again", "locks"} {
		after := w.Feed.Head()
		iccid := w.SIM(t, fleet)
		if err := w.Registry.Authenticated(ctx, iccid, "a"); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 40 {
					all, err := known(ctx, w, iccid)
					if err != nil {
						t.Error(err)
						return
					}
					c := all[len(all)-1]
					name := onward(c)
					if rand.IntN(4) == 0 {
						name = names[rand.IntN(len(names))]
					}
					err = acts[name](ctx, w, iccid, "a", c.ID, rand.IntN(2), pairs[rand.IntN(len(pairs))])
					if !refusedOrFine(err) {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
		wg.Wait()
		if err := checkLaws(ctx, w, iccid, after); err != nil {
			t.Error(err)
		}
	}
}

func TestNoSecretReachesFeedOrAudit(t *testing.T) {
	w := fixture.New(t)
	iccid, c := w.Provisioned(t, "locks")
	secret, err := w.PSK(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Store.View(t.Context(), func(tx store.Tx) error {
		row, err := tx.Credential(c.ID)
		if err != nil {
			return err
		}
		sim, err := tx.SIM(iccid)
		if err != nil {
			return err
		}
		events, err := tx.Events(0, 1000)
		if err != nil {
			return err
		}
		entries, err := tx.Audit(0, 1000)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%#v %x %x", entries, row.Secret, sim.Keys)
		for _, e := range events {
			text += fmt.Sprintf("%x", fmt.Sprintf("%+v", e))
			if e.Credential != nil {
				text += fmt.Sprintf("%x %+v", e.Credential.Certificate, e.Credential.Confirmation)
			}
		}
		for what, needle := range map[string][]byte{"the PSK": secret, "a key of the SIM": fixture.Plain(iccid).MAC} {
			if contains(text, needle) {
				t.Errorf("%s is in the store in clear", what)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
