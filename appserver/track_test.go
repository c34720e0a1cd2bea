package appserver

import (
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

func TestASessionElsewhereEndsWithItsCredentialAndOnlyOnce(t *testing.T) {
	p := platformtest.New(t)
	m := open(t, p, Options{})
	sim := p.Provision(t, platformtest.ICCID(1))
	inStep(t, m, p)
	told, forgotten := make(chan error, 2), make(chan error, 2)
	s, err := m.Track(sim.Fingerprint, func(reason error) { told <- reason })
	if err != nil {
		t.Fatal(err)
	}
	if id := s.Identity(); id.ICCID != sim.ICCID || id.Credential != sim.Credential {
		t.Errorf("identity %+v", id)
	}
	other, err := m.Track(sim.Fingerprint, func(reason error) { forgotten <- reason })
	if err != nil {
		t.Fatal(err)
	}
	other.Forget()
	other.Forget()
	p.SetCredential(sim.Credential, api.Revoked)
	select {
	case reason := <-told:
		if !errors.Is(reason, ErrRevoked) {
			t.Errorf("the reason is %v", reason)
		}
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if len(told) > 0 || len(forgotten) > 0 {
		t.Error("an end was told twice, or of a session that was forgotten")
	}
}

func TestASessionElsewhereOfARefusedCredentialIsNotTracked(t *testing.T) {
	p := platformtest.New(t)
	m := open(t, p, Options{})
	sim := p.Provision(t, platformtest.ICCID(1))
	p.SetCredential(sim.Credential, api.Revoked)
	inStep(t, m, p)
	old := p.Provision(t, platformtest.ICCID(2))
	p.SetCredential(old.Credential, api.Superseded)
	inStep(t, m, p)
	if _, err := m.Track(old.Fingerprint, func(error) {}); err != nil {
		t.Errorf("superseded, with which sessions live on: %v", err)
	}
	never := func(error) { t.Error("the end of a session that never was") }
	if _, err := m.Track(sim.Fingerprint, never); !errors.Is(err, ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	if _, err := m.Track(Fingerprint{1}, never); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
}
