package credential_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/fixture"
)

// under makes a fleet under a policy.
func under(t *testing.T, w *fixture.World, p api.Profile) string {
	t.Helper()
	if _, err := w.Registry.CreateFleet(t.Context(), "test", api.Fleet{Name: "ruled", Profile: p}); err != nil {
		t.Fatal(err)
	}
	return "ruled"
}

func keyOf(t *testing.T, c credential.Record) *ecdsa.PublicKey {
	t.Helper()
	key, err := x509.ParsePKIXPublicKey(c.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ecdsa.PublicKey)
}

func TestARenewalKeepsTheKeyAndBothAreAcceptedUntilItIsInUse(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	iccid, old := w.Provisioned(t, "meters")
	next, err := w.Life.Renew(ctx, fixture.Session, iccid)
	if err != nil || next.State != api.Keyed || next.Slot != old.Slot || !bytes.Equal(next.PublicKey, old.PublicKey) {
		t.Fatal(next, err)
	}
	if again, err := w.Life.Renew(ctx, fixture.Session, iccid); err != nil || again.ID != next.ID {
		t.Errorf("a repetition began another: %s, %v", again.ID, err)
	}
	if next, err = w.Life.Issue(ctx, fixture.Session, next.ID); err != nil || bytes.Equal(next.Certificate, old.Certificate) {
		t.Fatal(err)
	}
	if next, err = w.Life.Deliver(ctx, fixture.Session, next.ID); err != nil {
		t.Fatal(err)
	}
	if before, err := w.Life.Credential(ctx, old.ID); err != nil || !before.State.Accepted() || !next.State.Accepted() {
		t.Errorf("during the overlap they are %s and %s, %v", before.State, next.State, err)
	}
	if _, err = w.Life.Activate(ctx, fixture.Session, next.ID, nil, ""); err != nil {
		t.Fatal(err)
	}
	if before, err := w.Life.Credential(ctx, old.ID); err != nil || before.State != api.Superseded {
		t.Errorf("the one before is %s, %v", before.State, err)
	}
}

func TestOnlyAnActiveCertificateIsRenewed(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	psk, _ := w.Provisioned(t, "locks")
	_, err := w.Life.Renew(ctx, fixture.Session, psk)
	fixture.Refused(t, err, api.CodeConflict)
	ended, _ := w.Provisioned(t, "meters")
	w.Pass(100 * 24 * time.Hour)
	_, err = w.Life.Renew(ctx, fixture.Session, ended)
	fixture.Refused(t, err, api.CodeConflict)
	revoked, c := w.Provisioned(t, "meters")
	if _, err := w.Life.Revoke(ctx, "test", c.ID, api.Change{}); err != nil {
		t.Fatal(err)
	}
	_, err = w.Life.Renew(ctx, fixture.Session, revoked)
	fixture.Refused(t, err, api.CodeReenrolment)
	_, err = w.Life.Renew(ctx, "another session", ended)
	fixture.Refused(t, err, api.CodeSessionReplaced)
}

func TestAKeyIsCertifiedForAsLongAsItsFleetAllows(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	day := 24 * time.Hour
	name := under(t, w, api.Profile{Renewal: api.Renew, Lifetime: api.Duration(10 * day), RenewBefore: api.Duration(9 * day), KeyAge: api.Duration(20 * day)})
	iccid, first := w.Provisioned(t, name)
	device := w.SIM(t, name)
	key := newKey(t)
	enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, name), ICCID: device, Key: key})

	renew := func() (credential.Record, error) {
		c, err := w.Life.Renew(ctx, fixture.Session, iccid)
		if err == nil {
			if _, err = w.Life.Issue(ctx, fixture.Session, c.ID); err == nil {
				if _, err = w.Life.Deliver(ctx, fixture.Session, c.ID); err == nil {
					return w.Life.Activate(ctx, fixture.Session, c.ID, nil, "")
				}
			}
		}
		return c, err
	}
	w.Pass(9 * day)
	if young, err := w.Life.Renewable(ctx, first); err != nil || !young {
		t.Errorf("a key of 9 days is renewable: %v, %v", young, err)
	}
	second, err := renew()
	if err != nil || second.NotAfter.Sub(first.Created) > 20*day {
		t.Fatalf("%s, %v", second.NotAfter, err)
	}
	enrol(t, w, credential.Enrolment{Fleet: fleet(t, w, name), ICCID: device, Key: key})

	w.Pass(2 * day) // the next would end 21 days after the key was made
	if young, err := w.Life.Renewable(ctx, second); err != nil || young {
		t.Errorf("a key of 11 days is renewable: %v, %v", young, err)
	}
	_, err = renew()
	fixture.Refused(t, err, api.CodeKeyTooOld)
	e := credential.Enrolment{Fleet: fleet(t, w, name), ICCID: device, Key: key}
	_, err = w.Life.Enrol(ctx, e)
	fixture.Refused(t, err, api.CodeKeyTooOld)
	e.Key = newKey(t)
	enrol(t, w, e)
}

func TestASIMThatSleptPastItsEndComesBackWithinTheGraceAndWithItsKey(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	day := 24 * time.Hour
	fleet := under(t, w, api.Profile{Lifetime: api.Duration(10 * day), Grace: api.Duration(30 * day)})
	stranger, err := fixture.Key()
	if err != nil {
		t.Fatal(err)
	}
	iccid, c := w.Provisioned(t, fleet) // the first one needs no lineage
	late, lateKey := w.Provisioned(t, fleet)
	w.Pass(20 * day)
	if ended, err := w.Life.Ended(ctx, iccid); err != nil || len(ended) != 1 || ended[0].ID != c.ID {
		t.Fatal(ended, err)
	}
	for name, key := range map[string]*ecdsa.PublicKey{"no key": nil, "another key": stranger, "another SIM's": keyOf(t, lateKey)} {
		t.Run(name, func(t *testing.T) {
			_, err := w.Life.Request(ctx, fixture.Session, iccid, 1, key)
			fixture.Refused(t, err, api.CodeLineage)
		})
	}
	if _, err := w.Life.Request(ctx, fixture.Session, iccid, 1, keyOf(t, c)); err != nil {
		t.Errorf("within the grace, with its key: %v", err)
	}
	w.Pass(21 * day)
	_, err = w.Life.Request(ctx, fixture.Session, late, 1, keyOf(t, lateKey))
	fixture.Refused(t, err, api.CodeReenrolment)
	f, err := w.Registry.Fleet(ctx, fleet)
	if err != nil {
		t.Fatal(err)
	}
	f.Profile.AllowReenrolment = true
	if _, err := w.Registry.UpdateFleet(ctx, "test", fleet, f); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Life.Request(ctx, fixture.Session, late, 1, nil); err != nil {
		t.Errorf("with re-enrolment allowed: %v", err)
	}
}

func TestASIMBeginsNoMoreCredentialsADayThanItsFleetAllows(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	fleet := under(t, w, api.Profile{IssuesPerDay: 3})
	iccid, c := w.Provisioned(t, fleet)
	for slot := range 2 {
		w.Pass(time.Hour)
		if _, err := w.Provision(ctx, fixture.Session, iccid, 1-slot); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.Life.Request(ctx, fixture.Session, iccid, 1, nil)
	fixture.Refused(t, err, api.CodeTooManyRequests)
	if refusal, _ := err.(*api.Error); refusal != nil && refusal.RetryAfter != c.Created.Add(24*time.Hour).Sub(w.Now()) {
		t.Errorf("come again in %s", refusal.RetryAfter)
	}
	_, err = w.Life.Renew(ctx, fixture.Session, iccid)
	fixture.Refused(t, err, api.CodeTooManyRequests)
	w.Pass(22 * time.Hour)
	if _, err := w.Provision(ctx, fixture.Session, iccid, 1); err != nil {
		t.Errorf("a day later: %v", err)
	}
}

func TestAFleetMayHaveWhatWasReplacedRevoked(t *testing.T) {
	w := fixture.New(t)
	ctx := t.Context()
	fleet := under(t, w, api.Profile{RevokeOnRenew: true})
	iccid, old := w.Provisioned(t, fleet)
	if _, err := w.Provision(ctx, fixture.Session, iccid, 1); err != nil {
		t.Fatal(err)
	}
	c, err := w.Life.Credential(ctx, old.ID)
	if err != nil || c.State != api.Revoked || c.Reason != api.ReasonSuperseded {
		t.Errorf("the one before is %s for %q, %v", c.State, c.Reason, err)
	}
	// That is no revocation after which the SIM may not come again.
	if _, err := w.Provision(ctx, fixture.Session, iccid, 0); err != nil {
		t.Error(err)
	}
}
