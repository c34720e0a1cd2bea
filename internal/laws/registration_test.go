package laws

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/registration"
	"github.com/simroot/simroot/internal/testlog"
	"github.com/simroot/simroot/vsim"
)

// registered invites an application server for some fleets and registers it from a folder.
func (w *world) registered(dir string, fleets ...string) (*registration.Registration, api.NewAppServer) {
	w.t.Helper()
	made, err := w.Admin.InviteAppServer(w.t.Context(), api.Invitation{Name: "broker", Fleets: fleets})
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := registration.Register(w.t.Context(), w.at(dir), made.Token)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(r.Close)
	return r, made
}

func (w *world) at(dir string) registration.Options {
	w.t.Helper()
	roots, err := api.LoadRoots(w.TrustAnchor())
	if err != nil {
		w.t.Fatal(err)
	}
	return registration.Options{Platform: w.URL, RootCAs: roots, Dir: dir}
}

// follower opens a middleware as a registered application server and waits until it has caught up.
func (w *world) follower(r *registration.Registration, dir string, log *testlog.Log) *appserver.Middleware {
	w.t.Helper()
	m, err := appserver.Open(w.t.Context(), appserver.Options{
		Platform: r.Client(), SealingKey: r.SealingKey(), Dir: dir, Logger: log.Logger(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { m.Close() })
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := m.Ready(ctx); err != nil {
		w.t.Fatal(err)
	}
	return m
}

func fingerprint(t testing.TB, c api.Credential) (f appserver.Fingerprint) {
	t.Helper()
	if copy(f[:], c.Fingerprint) != len(f) {
		t.Fatalf("a fingerprint of %d bytes", len(c.Fingerprint))
	}
	return f
}

// An application server that was invited for one fleet knows that fleet's SIMs and no others, from the
// state, from the events and from its disk, and gets no secret of another fleet.
func TestARegisteredServerKnowsItsFleetsOnly(t *testing.T) {
	w := newWorld(t)
	w.fleet("meters", api.Profile{})
	w.fleet("locks", api.Profile{})
	w.fleet("tags", api.Profile{Type: api.PSKType})
	const before, other, tag = "89882119900000000017", "89882119900000000025", "89882119900000000033"
	for fleet, iccid := range map[string]string{"meters": before, "locks": other} {
		if _, err := w.onboard(vsim.NewMemory(w.sims(fleet, "common", iccid)[0])); err != nil {
			t.Fatal(err)
		}
	}
	dir, data, log := filepath.Join(t.TempDir(), "registration"), t.TempDir(), testlog.New(t)
	r, _ := w.registered(dir, "meters")
	m := w.follower(r, data, log)
	if _, err := m.Lookup(fingerprint(t, w.active(before))); err != nil {
		t.Error("its own SIM:", err)
	}
	if _, err := m.Lookup(fingerprint(t, w.active(other))); !errors.Is(err, appserver.ErrUnknown) {
		t.Errorf("a SIM of another fleet: %v", err)
	}
	// Changes of others are passed over, its own are told.
	if _, err := w.onboard(vsim.NewMemory(w.sims("tags", "type2", tag)[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Client().Secret(t.Context(), w.active(tag).ID); !api.HasCode(err, api.CodeUnknownCred) {
		t.Errorf("the secret of another fleet: %v", err)
	}
	// A SIM that is moved keeps its credential for the time being, and whoever accepts that hears what
	// becomes of the SIM.
	if _, err := w.Admin.MoveSIM(t.Context(), before, api.Move{Fleet: "locks"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Lookup(fingerprint(t, w.active(before))); err != nil {
		t.Error("its own SIM, moved away:", err)
	}
	if _, err := w.follower(r, t.TempDir(), log).Lookup(fingerprint(t, w.active(before))); err != nil {
		t.Error("its own SIM, moved away, told as state:", err)
	}
	if _, err := w.Admin.SuspendSIM(t.Context(), before, api.Change{}); err != nil {
		t.Fatal(err)
	}
	w.waits(m, func() bool {
		_, err := m.Lookup(fingerprint(t, w.active(before)))
		return errors.Is(err, appserver.ErrSuspended)
	})
	if _, err := w.Admin.SuspendSIM(t.Context(), other, api.Change{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if m = w.follower(r, data, log); log.Says("damaged") || log.Says("anew") {
		t.Error("what was passed over is a gap in the journal:", log)
	}
	if _, err := m.Lookup(fingerprint(t, w.active(before))); !errors.Is(err, appserver.ErrSuspended) {
		t.Errorf("after a restart: %v", err)
	}
	if len(m.Barred()) != 1 {
		t.Errorf("it knows of %v, want one SIM that is barred", m.Barred())
	}
}

// waits looks at a condition after every change, until it holds.
func (w *world) waits(m *appserver.Middleware, holds func() bool) {
	w.t.Helper()
	changed := make(chan struct{}, 1)
	defer m.Watch(func(appserver.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})()
	for late := time.After(time.Minute); !holds(); {
		select {
		case <-changed:
		case <-late:
			w.t.Fatalf("waited in vain: %+v", m.Synced())
		}
	}
}

// The keys are made where the application server runs and never change; the certificate is renewed
// for them, and one that was withdrawn opens nothing.
func TestARegistrationIsRenewedUntilItIsWithdrawn(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "registration")
	if _, err := registration.Open(w.at(dir)); !errors.Is(err, registration.ErrNotRegistered) {
		t.Errorf("before the registration: %v", err)
	}
	r, made := w.registered(dir)
	for _, name := range []string{"registration.key", "sealing.key"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v: want it private", name, info, err)
		}
	}
	again, err := registration.Register(t.Context(), w.at(dir), made.Token) // as if the answer had been lost
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if _, err := registration.Register(t.Context(), w.at(t.TempDir()), made.Token); !api.HasCode(err, api.CodeTokenUsed) {
		t.Errorf("the one-time token from another place: %v", err)
	}
	first, err := os.ReadFile(filepath.Join(dir, "registration.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	renewed, err := os.ReadFile(filepath.Join(dir, "registration.crt"))
	if err != nil || bytes.Equal(first, renewed) {
		t.Error("the certificate was not renewed:", err)
	}
	r, err = registration.Open(w.at(dir)) // as after a restart
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log := testlog.New(t)
	w.follower(r, t.TempDir(), log)
	if err := w.Admin.WithdrawAppServer(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	log.Await(t, "withdrawn: ask an administrator") // the feed has ended, and does not begin again
	if err := r.Renew(t.Context()); !api.HasCode(err, api.CodeUnauthorized) {
		t.Errorf("a withdrawn application server renews itself: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, "registration.key"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := registration.Open(w.at(dir)); err == nil {
		t.Error("a key that others can read was taken")
	}
}

// Keep renews at two thirds of the certificate's life, by its clock, and not before.
func TestARegistrationRenewsItselfInTime(t *testing.T) {
	w := newWorld(t)
	o := w.at(filepath.Join(t.TempDir(), "registration"))
	var clock func() time.Time
	o.Clock = func() time.Time { return clock() }
	log := testlog.New(t)
	o.Logger = log.Logger()
	made, err := w.Admin.InviteAppServer(t.Context(), api.Invitation{Name: "broker"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := registration.Register(t.Context(), o, made.Token)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	first := r.Ends()
	const life = 90 * 24 * time.Hour // and five minutes, for slow clocks
	due := first.Add(-life / 3)
	for _, at := range []time.Time{due.Add(-10 * time.Minute), due} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		asked := false
		clock = func() time.Time {
			if asked { // it has decided
				cancel()
			}
			asked = true
			return at
		}
		if at.Before(due) {
			asked = true
		}
		r.Keep(ctx)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Fatal("it waits for ever")
		}
		if renewed := log.Says("was renewed"); renewed != !at.Before(due) {
			t.Errorf("%s before the end: renewed %v", first.Sub(at), renewed)
		}
	}
}
