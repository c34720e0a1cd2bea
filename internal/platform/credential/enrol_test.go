package credential_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
	"github.com/simroot/simroot/internal/platform/store"
)

func newKey(t testing.TB) *ecdsa.PublicKey {
	t.Helper()
	key, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// fleet is one as it is now.
func fleet(t testing.TB, w *fixture.World, name string) api.Fleet {
	t.Helper()
	f, err := w.Registry.Fleet(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func enrol(t testing.TB, w *fixture.World, e credential.Enrolment) credential.Record {
	t.Helper()
	c, err := w.Life.Enrol(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	w.Pass(time.Millisecond) // identifiers sort by time
	return c
}

// states are those of a SIM's credentials, older ones first.
func states(t testing.TB, w *fixture.World, iccid string) []api.CredentialState {
	t.Helper()
	all, err := w.Life.Credentials(t.Context(), credential.Filter{ICCID: iccid}, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	var states []api.CredentialState
	for _, c := range all.Items {
		states = append(states, c.State)
	}
	return states
}

func wantStates(t testing.TB, w *fixture.World, iccid string, want ...api.CredentialState) {
	t.Helper()
	if got := states(t, w, iccid); !slices.Equal(got, want) {
		t.Errorf("credentials are %v, want %v", got, want)
	}
}

func TestAFirstEnrolmentGoesThroughTheWholeLife(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	key := newKey(t)
	c := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: key})
	certificate, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if c.State != api.Active || certificate.Subject.SerialNumber != iccid || !key.Equal(certificate.PublicKey) {
		t.Errorf("credential %+v with the subject %s", c.Credential, certificate.Subject)
	}
	sim, err := w.Registry.SIM(t.Context(), iccid)
	if err != nil || sim.State != api.Provisioned || sim.LastSeen.IsZero() {
		t.Errorf("%+v, %v", sim, err)
	}
	events, err := w.Feed.Read(t.Context(), api.FeedPosition{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for _, e := range events {
		switch {
		case e.Credential != nil:
			seen = append(seen, string(e.Credential.State))
		case e.SIM.ICCID == iccid:
			seen = append(seen, string(e.SIM.State))
		}
	}
	if want := []string{"imported", "requested", "keyed", "issued", "delivered", "active", "seen", "provisioned"}; !slices.Equal(seen, want) {
		t.Errorf("the feed tells of %v, want %v", seen, want)
	}
}

func TestTheSameEnrolmentHasTheSameCertificate(t *testing.T) {
	w := fixture.New(t)
	e := credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: w.SIM(t, "meters"), Key: newKey(t)}
	first := enrol(t, w, e)
	head := w.Feed.Head()
	if again := enrol(t, w, e); !bytes.Equal(again.Certificate, first.Certificate) {
		t.Error("a repetition was given another certificate")
	}
	if w.Feed.Head() != head {
		t.Error("a repetition changed something")
	}
	wantStates(t, w, e.ICCID, api.Active)
}

func TestTheSameEnrolmentManyTimesAtOnceHasTheSameCertificate(t *testing.T) {
	w := fixture.New(t)
	e := credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: w.SIM(t, "meters"), Key: newKey(t)}
	var all [8][]byte
	var group sync.WaitGroup
	for i := range all {
		group.Go(func() {
			c, err := w.Life.Enrol(context.Background(), e)
			if err != nil {
				t.Error(err)
			}
			all[i] = c.Certificate
		})
	}
	group.Wait()
	for _, certificate := range all[1:] {
		if !bytes.Equal(certificate, all[0]) {
			t.Error("two certificates for one key")
		}
	}
	wantStates(t, w, e.ICCID, api.Active)
}

func TestARenewalKeepsTheOldCredentialUntilTheNewOneIsPresented(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	old := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t)})
	renewal := credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t), Presented: old.ID}
	next := enrol(t, w, renewal)
	wantStates(t, w, iccid, api.Active, api.Delivered)
	if again := enrol(t, w, renewal); !bytes.Equal(again.Certificate, next.Certificate) {
		t.Error("the renewal whose answer was lost has another certificate when it is repeated")
	}
	for range 2 {
		if err := w.Life.Used(t.Context(), next.ID); err != nil {
			t.Fatal(err)
		}
		wantStates(t, w, iccid, api.Superseded, api.Active)
	}
	fixture.Refused(t, w.Life.Used(t.Context(), old.ID), api.CodeUnauthorized)
}

func TestARenewalWithAThirdKeyTakesThePlaceOfWhatWasNeverUsed(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	old := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t)})
	for range 2 {
		enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t), Presented: old.ID})
	}
	wantStates(t, w, iccid, api.Active, api.Superseded, api.Delivered)
}

func TestARenewalThatPresentsWhatWasDeliveredMakesItActiveFirst(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	oldKey := newKey(t)
	old := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: oldKey})
	next := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t), Presented: old.ID})
	back := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: oldKey, Presented: next.ID})
	wantStates(t, w, iccid, api.Superseded, api.Active, api.Delivered)
	if back.ID == old.ID || back.Slot == next.Slot {
		t.Errorf("the new credential %+v, beside %+v", back.Credential, next.Credential)
	}
}

func TestTheSameKeyIsCertifiedAnewWhenItsRenewalIsDue(t *testing.T) {
	w := fixture.New(t)
	e := credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: w.SIM(t, "meters"), Key: newKey(t)}
	old := enrol(t, w, e)
	e.Presented = old.ID
	w.Pass(61 * 24 * time.Hour)
	next := enrol(t, w, e)
	if next.ID == old.ID || !next.NotAfter.After(old.NotAfter) {
		t.Errorf("the renewal is %+v", next.Credential)
	}
	if again := enrol(t, w, e); again.ID != next.ID {
		t.Error("the repeated renewal made another credential")
	}
	wantStates(t, w, e.ICCID, api.Active, api.Delivered)
}

func TestAnEnrolmentThatWasCutIsTakenUpAgain(t *testing.T) {
	w := fixture.New(t)
	e := credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: w.SIM(t, "meters"), Key: newKey(t)}
	// What a cut leaves behind is a credential that was keyed, as after this much of an onboarding.
	if err := w.Registry.Authenticated(t.Context(), e.ICCID, "s"); err != nil {
		t.Fatal(err)
	}
	c, err := w.Life.Request(t.Context(), "s", e.ICCID, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Life.Keyed(t.Context(), "s", c.ID, e.Key); err != nil {
		t.Fatal(err)
	}
	if done := enrol(t, w, e); done.ID != c.ID {
		t.Errorf("credential %s was begun, and %s finished", c.ID, done.ID)
	}
	wantStates(t, w, e.ICCID, api.Active)
	_, err = w.Life.Issue(t.Context(), "s", c.ID)
	fixture.Refused(t, err, api.CodeSessionReplaced)
}

func TestASecretEnrolsOneKeyOnce(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "meters")
	made, err := w.Registry.NewEnrolmentSecret(t.Context(), "me", iccid)
	if err != nil {
		t.Fatal(err)
	}
	e := credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t), Secret: made.Secret}
	wrong := e
	wrong.Secret += "x"
	_, err = w.Life.Enrol(t.Context(), wrong)
	fixture.Refused(t, err, api.CodeUnauthorized)
	first := enrol(t, w, e)
	if again := enrol(t, w, e); again.ID != first.ID {
		t.Error("the repetition made another credential")
	}
	other := e
	other.Key = newKey(t)
	_, err = w.Life.Enrol(t.Context(), other)
	fixture.Refused(t, err, api.CodeUnauthorized)
	wantStates(t, w, iccid, api.Active)

	if made, err = w.Registry.NewEnrolmentSecret(t.Context(), "me", iccid); err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Enrol(t.Context(), e)
	fixture.Refused(t, err, api.CodeUnauthorized) // the secret before
	other.Secret = made.Secret
	enrol(t, w, other)
	wantStates(t, w, iccid, api.Active, api.Delivered)
}

func TestWhoGuessesASecretLearnsNothingOfTheSIM(t *testing.T) {
	w := fixture.New(t)
	known := w.SIM(t, "meters")
	if _, err := w.Registry.NewEnrolmentSecret(t.Context(), "me", known); err != nil {
		t.Fatal(err)
	}
	without := w.SIM(t, "meters")
	var texts []string
	for _, iccid := range []string{known, without, fixture.ICCID(999)} {
		_, err := w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t), Secret: "guess"})
		fixture.Refused(t, err, api.CodeUnauthorized)
		texts = append(texts, err.Error())
	}
	if texts[0] != texts[1] || texts[1] != texts[2] {
		t.Errorf("different refusals: %q", texts)
	}
}

func TestEnrolmentIsRefused(t *testing.T) {
	w := fixture.New(t)
	change := api.Change{}
	for name, test := range map[string]struct {
		prepare func(iccid string) error
		fleet   string
		code    api.Code
	}{
		"of a SIM of another fleet": {nil, "again", api.CodeForbidden},
		"of a suspended SIM": {func(iccid string) error {
			_, err := w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t)})
			_, e := w.Registry.Suspend(t.Context(), "me", iccid, change)
			return errors.Join(err, e)
		}, "meters", api.CodeSIMSuspended},
		"of a terminated SIM": {func(iccid string) error {
			_, err := w.Registry.Terminate(t.Context(), "me", iccid, change)
			return err
		}, "meters", api.CodeSIMTerminated},
		"of a SIM whose credential was revoked": {func(iccid string) error {
			_, err := w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: iccid, Key: newKey(t)})
			_, e := w.Life.RevokeSIM(t.Context(), "me", iccid, change)
			return errors.Join(err, e)
		}, "meters", api.CodeReenrolment},
	} {
		t.Run(name, func(t *testing.T) {
			iccid := w.SIM(t, "meters")
			if test.prepare != nil {
				if err := test.prepare(iccid); err != nil {
					t.Fatal(err)
				}
			}
			_, err := w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, test.fleet), ICCID: iccid, Key: newKey(t)})
			fixture.Refused(t, err, test.code)
		})
	}
	_, err := w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: fixture.ICCID(999), Key: newKey(t)})
	fixture.Refused(t, err, api.CodeUnknownSIM)
	_, err = w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "locks"), ICCID: w.SIM(t, "locks"), Key: newKey(t)})
	fixture.Refused(t, err, api.CodeConflict)
}

func TestWhoPresentsWhatIsNotAcceptedIsRefused(t *testing.T) {
	w := fixture.New(t)
	iccid := w.SIM(t, "again")
	revoked := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "again"), ICCID: iccid, Key: newKey(t)})
	if _, err := w.Life.Revoke(t.Context(), "me", revoked.ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	ended := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "again"), ICCID: iccid, Key: newKey(t)})
	w.Pass(91 * 24 * time.Hour)
	for _, id := range []string{revoked.ID, ended.ID} {
		_, err := w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "again"), ICCID: iccid, Key: newKey(t), Presented: id})
		fixture.Refused(t, err, api.CodeUnauthorized)
		fixture.Refused(t, w.Life.Used(t.Context(), id), api.CodeUnauthorized)
	}
	// Without it, the SIM has a fresh start.
	enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "again"), ICCID: iccid, Key: newKey(t)})
	wantStates(t, w, iccid, api.Revoked, api.Expired, api.Active)
}

func TestOnlyTheExactCertificateFindsItsCredential(t *testing.T) {
	w := fixture.New(t)
	c := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "meters"), ICCID: w.SIM(t, "meters"), Key: newKey(t)})
	certificate, err := x509.ParseCertificate(c.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := w.Life.ByCertificate(t.Context(), certificate); err != nil || found.ID != c.ID {
		t.Errorf("%+v, %v", found, err)
	}
	forged := *certificate
	forged.Raw = bytes.Clone(certificate.Raw)
	forged.Raw[len(forged.Raw)-1] ^= 1
	for _, stranger := range []*x509.Certificate{&forged, w.CA.Issuer()} {
		if _, err := w.Life.ByCertificate(t.Context(), stranger); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
}

func TestWithinTheGraceACertificateThatHasEndedRenewsItself(t *testing.T) {
	w := fixture.New(t)
	if _, err := w.Registry.CreateFleet(t.Context(), "me", api.Fleet{Name: "patient", Profile: api.Profile{Grace: api.Duration(30 * 24 * time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	iccid := w.SIM(t, "patient")
	old := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "patient"), ICCID: iccid, Key: newKey(t)})
	w.Pass(100 * 24 * time.Hour)
	_, err := w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "patient"), ICCID: iccid, Key: newKey(t)})
	fixture.Refused(t, err, api.CodeLineage)
	next := enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, "patient"), ICCID: iccid, Key: newKey(t), Presented: old.ID})
	wantStates(t, w, iccid, api.Expired, api.Active)
	w.Pass(200 * 24 * time.Hour)
	_, err = w.Life.Enrol(t.Context(), credential.Enrolment{Fleet: fleet(t, w, "patient"), ICCID: iccid, Key: newKey(t), Presented: next.ID})
	fixture.Refused(t, err, api.CodeUnauthorized)
}
