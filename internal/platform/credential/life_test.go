package credential_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
)

// begun is a SIM that has proved itself, and its requested credential.
func begun(t *testing.T, w *fixture.World, fleet string) (string, credential.Record) {
	t.Helper()
	iccid := w.SIM(t, fleet)
	if err := w.Registry.Authenticated(t.Context(), iccid, fixture.Session); err != nil {
		t.Fatal(err)
	}
	c, err := w.Life.Request(t.Context(), fixture.Session, iccid, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	return iccid, c
}

func TestACertificateGoesThroughItsLife(t *testing.T) {
	w := fixture.New(t)
	iccid, c := w.Provisioned(t, "meters")
	leaf, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := sha256.Sum256(c.Certificate)
	if leaf.Subject.SerialNumber != iccid || !bytes.Equal(c.Fingerprint, fingerprint[:]) ||
		c.Serial != leaf.SerialNumber.Text(16) || !c.NotAfter.Equal(leaf.NotAfter) || !c.NotBefore.Equal(leaf.NotBefore) {
		t.Errorf("the credential %+v does not describe its certificate", c.Credential)
	}
	sim, err := w.Registry.SIM(t.Context(), iccid)
	if err != nil || sim.State != api.Provisioned {
		t.Errorf("the SIM is %s, %v", sim.State, err)
	}
	var states []string
	events, err := w.Feed.Read(t.Context(), api.FeedPosition{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.SIM != nil {
			states = append(states, "SIM "+string(e.SIM.State))
		} else {
			states = append(states, string(e.Credential.State))
		}
	}
	if got, want := strings.Join(states, ", "), "SIM imported, SIM seen, requested, keyed, issued, delivered, SIM provisioned, active"; got != want {
		t.Errorf("the feed says %s, want %s", got, want)
	}
	entries, err := audit.New(w.Store, nil).List(t.Context(), "", 100)
	if err != nil || len(entries.Items) != 1+3+8 { // the CA, three fleets; a batch for its SIM, and one for each other event
		t.Errorf("%d audit entries, %v", len(entries.Items), err)
	}
}

func TestARepeatedStepIsAnsweredFromTheStateFound(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	_, c := begun(t, w, "meters")
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	steps := []func() (credential.Record, error){
		func() (credential.Record, error) { return w.Life.Request(ctx, fixture.Session, c.ICCID, 1, nil) },
		func() (credential.Record, error) { return w.Life.Keyed(ctx, fixture.Session, c.ID, key) },
		func() (credential.Record, error) { return w.Life.Issue(ctx, fixture.Session, c.ID) },
		func() (credential.Record, error) { return w.Life.Deliver(ctx, fixture.Session, c.ID) },
		func() (credential.Record, error) { return w.Life.Activate(ctx, fixture.Session, c.ID, nil, "") },
	}
	for i, step := range steps {
		first, err := step()
		if err != nil {
			t.Fatal(err)
		}
		head := w.Feed.Head()
		earlier := steps[:i+1]
		if first.State == api.Active {
			earlier = earlier[1:] // a request would begin the next credential
		}
		for _, again := range earlier {
			second, err := again()
			if err != nil || !reflect.DeepEqual(second, first) {
				t.Errorf("step %d again: %+v, %v; want %+v", i, second, err, first)
			}
		}
		if w.Feed.Head() != head {
			t.Errorf("step %d again has changed something", i)
		}
	}
}

func TestASIMThatComesIsGivenItsFirstCredentialAtOnce(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	comes := func(iccid string, slot int) (current []credential.Record) {
		t.Helper()
		if err := w.Registry.Authenticated(ctx, iccid, fixture.Session, w.Life.Begun(slot, &current)); err != nil {
			t.Fatal(err)
		}
		return current
	}
	iccid := w.SIM(t, "meters")
	if current := comes(iccid, credential.NoSlot); len(current) != 0 {
		t.Errorf("without a slot there is %v", current)
	}
	first := comes(iccid, 1)
	if len(first) != 1 || first[0].State != api.Requested || first[0].Slot != 1 {
		t.Fatalf("got %+v", first)
	}
	if again := comes(iccid, 0); !reflect.DeepEqual(again, first) {
		t.Errorf("when it comes again there is %+v, want %+v", again, first)
	}
	if c, err := w.Life.Request(ctx, fixture.Session, iccid, 1, nil); err != nil || c.ID != first[0].ID {
		t.Errorf("a request makes another: %v, %v", c.ID, err)
	}
	// One that may have none has come all the same, and hears why when it asks.
	if _, err := w.Life.Revoke(ctx, "test", first[0].ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	w.Pass(time.Hour)
	if current := comes(iccid, 1); len(current) != 0 {
		t.Errorf("a SIM that was revoked is given %+v", current)
	}
	if s, err := w.Registry.SIM(ctx, iccid); err != nil || !s.LastSeen.Equal(w.Now()) {
		t.Errorf("it was last seen at %s, %v", s.LastSeen, err)
	}
	_, err := w.Life.Request(ctx, fixture.Session, iccid, 1, nil)
	fixture.Refused(t, err, api.CodeReenrolment)
}

func TestACertificateFollowsTheProfileOfItsMoment(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := begun(t, w, "meters")
	_, before, _, err := w.Registry.Admit(ctx, iccid)
	if err != nil {
		t.Fatal(err)
	}
	wanted := before
	wanted.Profile.Lifetime = api.Duration(50 * 24 * time.Hour)
	if _, err := w.Registry.UpdateFleet(ctx, "test", "meters", wanted); err != nil {
		t.Fatal(err)
	}
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	issued, err := w.Life.Certify(ctx, fixture.Session, c, key, before)
	if want := w.Now().Add(50 * 24 * time.Hour).Truncate(time.Second); err != nil || issued.State != api.Issued || !issued.NotAfter.Equal(want) {
		t.Errorf("a certificate that ends at %s, %v; want %s", issued.NotAfter, err, want)
	}
	again, err := w.Life.Certify(ctx, fixture.Session, c, key, before)
	if err != nil || !reflect.DeepEqual(again, issued) {
		t.Errorf("again: %+v, %v", again, err)
	}
	other, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Certify(ctx, fixture.Session, c, other, before)
	fixture.Refused(t, err, api.CodeConflict)
}

func TestAKeyOutlivesTheFailureOfTheCA(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := begun(t, w, "meters")
	_, fleet, _, err := w.Registry.Admit(ctx, iccid)
	if err != nil {
		t.Fatal(err)
	}
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	w.Pass(100 * 365 * 24 * time.Hour) // the CA's certificate has ended
	if _, err := w.Life.Certify(ctx, fixture.Session, c, key, fleet); err == nil {
		t.Fatal("a CA whose certificate has ended has issued one")
	}
	if kept, err := w.Life.Credential(ctx, c.ID); err != nil || kept.State != api.Keyed {
		t.Errorf("the credential is %s, %v", kept.State, err)
	}
}

func TestTrustAnchorsAreNotedWithTheActivation(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := w.Provisioned(t, "meters")
	for _, slot := range []int{1, 0} {
		next, err := w.Life.Request(ctx, fixture.Session, iccid, slot, nil)
		if err != nil {
			t.Fatal(err)
		}
		key, err := fixture.Key()
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range []string{"keyed", "issue", "deliver"} {
			if err := acts[step](ctx, w, iccid, fixture.Session, next.ID, slot, key); err != nil {
				t.Fatal(err)
			}
		}
		set := "set " + next.ID
		if next, err = w.Life.Activate(ctx, fixture.Session, next.ID, nil, set); err != nil || next.ID == c.ID {
			t.Fatal(next.ID, err)
		}
		err = w.Store.View(ctx, func(tx store.Tx) error {
			s, err := tx.SIM(iccid)
			if s.Anchors != set || s.State != api.Provisioned {
				t.Errorf("the SIM is %s and holds %q, want %q", s.State, s.Anchors, set)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestNoStepIsSkipped(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	_, c := begun(t, w, "meters")
	_, err := w.Life.Issue(ctx, fixture.Session, c.ID)
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.Life.Deliver(ctx, fixture.Session, c.ID)
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.Life.Activate(ctx, fixture.Session, c.ID, nil, "")
	fixture.Refused(t, err, api.CodeConflict)
	_, _, err = w.Life.KeyedSecret(ctx, fixture.Session, c.ID)
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.PSK(ctx, c.ID)
	fixture.Refused(t, err, api.CodeConflict)
	_, err = w.Life.Issue(ctx, fixture.Session, "none")
	fixture.Refused(t, err, api.CodeUnknownCred)
}

func TestAnotherKeyNeedsAnotherCredential(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := begun(t, w, "meters")
	first, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	second, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Life.Keyed(ctx, fixture.Session, c.ID, first); err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Keyed(ctx, fixture.Session, c.ID, second)
	fixture.Refused(t, err, api.CodeConflict)
	for range 2 {
		if err := w.Life.Abandon(ctx, fixture.Session, c.ID, "the SIM has made another key"); err != nil {
			t.Fatal(err)
		}
	}
	fresh, err := w.Life.Request(ctx, fixture.Session, iccid, 0, nil)
	if err != nil || fresh.ID == c.ID {
		t.Fatal(fresh.ID, err)
	}
	if _, err := w.Life.Keyed(ctx, fixture.Session, fresh.ID, second); err != nil {
		t.Error(err)
	}
	if old, err := w.Life.Credential(ctx, c.ID); err != nil || old.State != api.Superseded {
		t.Errorf("the old one is %s, %v", old.State, err)
	}
}

func TestRotationSupersedesTheOldCredential(t *testing.T) {
	w := fixture.New(t)
	iccid, old := w.Provisioned(t, "meters")
	_, err := w.Life.Request(t.Context(), fixture.Session, iccid, old.Slot, nil)
	fixture.Refused(t, err, api.CodeConflict) // it would overwrite the active one
	fresh, err := w.Provision(t.Context(), fixture.Session, iccid, 1)
	if err != nil || fresh.State != api.Active {
		t.Fatal(fresh.State, err)
	}
	if c, err := w.Life.Credential(t.Context(), old.ID); err != nil || c.State != api.Superseded {
		t.Errorf("the old one is %s, %v", c.State, err)
	}
	current, err := w.Current(t.Context(), iccid)
	if err != nil || len(current) != 1 || current[0].ID != fresh.ID {
		t.Errorf("current: %v, %v", current, err)
	}
}

func TestThePSKIsMadeOnceAndConfirmedByTheSIM(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := begun(t, w, "locks")
	secret, _, err := w.Life.KeyedSecret(ctx, fixture.Session, c.ID)
	if err != nil || len(secret) != 32 {
		t.Fatal(len(secret), err)
	}
	again, _, err := w.Life.KeyedSecret(ctx, fixture.Session, c.ID)
	if err != nil || !bytes.Equal(again, secret) {
		t.Fatal("the PSK was made twice", err)
	}
	issued, err := w.Life.Issue(ctx, fixture.Session, c.ID)
	if err != nil || !strings.HasPrefix(issued.Identity, iccid+".") {
		t.Fatal(issued.Identity, err)
	}
	_, err = w.PSK(ctx, c.ID)
	fixture.Refused(t, err, api.CodeConflict) // no server accepts it yet
	if _, err := w.Life.Deliver(ctx, fixture.Session, c.ID); err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Activate(ctx, fixture.Session, c.ID, nil, "")
	fixture.Refused(t, err, api.CodeBadRequest)
	wrong := fixture.Confirm(iccid, bytes.Repeat([]byte{1}, 32))
	_, err = w.Life.Activate(ctx, fixture.Session, c.ID, wrong, "")
	fixture.Refused(t, err, api.CodeCardMisbehaved)
	active, err := w.Life.Activate(ctx, fixture.Session, c.ID, fixture.Confirm(iccid, secret), "")
	if err != nil || active.State != api.Active || active.Confirmation == nil {
		t.Fatal(active, err)
	}
	given, err := w.PSK(ctx, c.ID)
	if err != nil || !bytes.Equal(given, secret) {
		t.Error("the application server gets another secret", err)
	}
	if _, err := w.Life.Revoke(ctx, "test", c.ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	_, err = w.PSK(ctx, c.ID)
	fixture.Refused(t, err, api.CodeConflict)
}

func TestOnlyTheLatestSessionGoesOn(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := begun(t, w, "meters")
	if err := w.Registry.Authenticated(ctx, iccid, "another"); err != nil {
		t.Fatal(err)
	}
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Keyed(ctx, fixture.Session, c.ID, key)
	fixture.Refused(t, err, api.CodeSessionReplaced)
	_, err = w.Life.Request(ctx, fixture.Session, iccid, 0, nil)
	fixture.Refused(t, err, api.CodeSessionReplaced)
	fixture.Refused(t, w.Life.Abandon(ctx, fixture.Session, c.ID, ""), api.CodeSessionReplaced)
	if _, err := w.Life.Keyed(ctx, "another", c.ID, key); err != nil {
		t.Error(err)
	}
}

func TestARevokedSIMEnrolsAgainOnlyIfItsFleetAllows(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	for fleet, allowed := range map[string]bool{"meters": false, "again": true} {
		iccid, c := w.Provisioned(t, fleet)
		if _, err := w.Life.Revoke(ctx, "test", c.ID, api.Change{Reason: api.ReasonKeyCompromise}); err != nil {
			t.Fatal(err)
		}
		_, err := w.Life.Request(ctx, fixture.Session, iccid, 1, nil)
		if allowed && err != nil {
			t.Error(err)
		}
		if !allowed {
			fixture.Refused(t, err, api.CodeReenrolment)
		}
	}
}

func TestRevokingTheActiveCredentialStopsARotationUnderWay(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := w.Provisioned(t, "meters")
	next, err := w.Life.Request(ctx, fixture.Session, iccid, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Life.Revoke(ctx, "test", c.ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Keyed(ctx, fixture.Session, next.ID, key)
	fixture.Refused(t, err, api.CodeConflict)
}

func TestRevokingASIMTakesSupersededCertificatesToo(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, _ := w.Provisioned(t, "meters")
	if _, err := w.Provision(ctx, fixture.Session, iccid, 1); err != nil {
		t.Fatal(err)
	}
	revoked, err := w.Life.RevokeSIM(ctx, "test", iccid, api.Change{Reason: api.ReasonKeyCompromise})
	if err != nil || len(revoked) != 2 {
		t.Fatal(revoked, err)
	}
	again, err := w.Life.RevokeSIM(ctx, "test", iccid, api.Change{})
	if err != nil || len(again) != 0 {
		t.Error(again, err)
	}
	_, err = w.Life.RevokeSIM(ctx, "test", "89000000000000000000", api.Change{})
	fixture.Refused(t, err, api.CodeUnknownSIM)
}

func TestRevokingAgainChangesNothing(t *testing.T) {
	w := fixture.New(t)
	_, c := w.Provisioned(t, "meters")
	first, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{Reason: api.ReasonKeyCompromise})
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.Life.Revoke(t.Context(), "test", c.ID, api.Change{Reason: api.ReasonSuperseded})
	if err != nil || !reflect.DeepEqual(again, first) {
		t.Errorf("got %+v, %v; want %+v", again, err, first)
	}
	_, err = w.Life.Revoke(t.Context(), "test", c.ID, api.Change{Reason: "boredom"})
	fixture.Refused(t, err, api.CodeBadRequest)
}

func TestCredentialsExpireWhenTheirTimeIsOver(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, c := w.Provisioned(t, "meters")
	if n, err := w.Life.Expire(ctx, c.NotAfter.Add(-time.Second)); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	w.Pass(c.NotAfter.Sub(w.Now()))
	if current, err := w.Current(ctx, iccid); len(current) != 0 || err != nil {
		t.Error("a credential is current after its end", err)
	}
	if n, err := w.Life.Expire(ctx, w.Now()); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if c, err := w.Life.Credential(ctx, c.ID); c.State != api.Expired || err != nil {
		t.Error(c.State, err)
	}
	if _, err := w.Provision(ctx, fixture.Session, iccid, 0); err != nil {
		t.Error("a SIM that came too late gets no new credential:", err)
	}
}

func TestASIMThatComesBeforeTheExpiryJobGetsANewCredential(t *testing.T) {
	w := fixture.New(t)
	iccid, c := w.Provisioned(t, "meters")
	w.Pass(c.NotAfter.Sub(w.Now()))
	if _, err := w.Provision(t.Context(), fixture.Session, iccid, 0); err != nil {
		t.Error(err)
	}
	if c, err := w.Life.Credential(t.Context(), c.ID); c.State != api.Expired || err != nil {
		t.Error(c.State, err)
	}
}

func TestASuspendedSIMTakesNoStep(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, _ := w.Provisioned(t, "meters")
	next, err := w.Life.Request(ctx, fixture.Session, iccid, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Registry.Suspend(ctx, "test", iccid, api.Change{}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Deliver(ctx, fixture.Session, next.ID)
	fixture.Refused(t, err, api.CodeSIMSuspended)
	_, err = w.Life.Request(ctx, fixture.Session, iccid, 1, nil)
	fixture.Refused(t, err, api.CodeSIMSuspended)
}

func TestCredentialsAreListedOldestFirst(t *testing.T) {
	w := fixture.New(t)
	var want []string
	for range 3 {
		w.Pass(time.Second)
		_, c := w.Provisioned(t, "meters")
		want = append(want, c.ID)
	}
	var got []string
	for after := ""; ; {
		p, err := w.Life.Credentials(t.Context(), credential.Filter{Fleet: "meters", State: api.Active}, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Items {
			got = append(got, c.ID)
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
