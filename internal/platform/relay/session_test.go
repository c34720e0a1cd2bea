package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
)

// held makes a session of a SIM whose walk waits for answers.
func held(iccid string, now time.Time) *session {
	s := newSession(iccid, now)
	s.start(&walk{})
	return s
}

func TestSessionsThatNobodyWillMissMakeRoom(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := New(Options{Clock: func() time.Time { return now }})
	idle, ended, live := held("1", now), held("2", now), held("3", now)
	ended.ended.Store(true)
	for _, s := range []*session{idle, ended, live} {
		if err := r.admit(s); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(lingerTime + time.Second)
	live.touch(now)
	if err := r.admit(held("4", now)); err != nil {
		t.Fatal(err)
	}
	if r.sessions[ended.id] != nil || r.sessions[idle.id] == nil || r.sessions[live.id] == nil {
		t.Error("want the ended session gone, and the others there")
	}
	now = now.Add(idleTime)
	live.touch(now)
	if err := r.admit(held("5", now)); err != nil {
		t.Fatal(err)
	}
	if r.sessions[idle.id] != nil || r.sessions[live.id] == nil {
		t.Error("want the idle session gone, and the live one there")
	}
}

func TestOneSIMHoldsFewSessions(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := New(Options{Clock: func() time.Time { return now }})
	var all []*session
	for range maxPerSIM + 3 {
		s := held("1", now)
		if err := r.admit(s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		now = now.Add(time.Second)
	}
	if len(r.sessions) != maxPerSIM || r.sessions[all[0].id] != nil || r.sessions[all[len(all)-1].id] == nil {
		t.Errorf("%d sessions are left, want the %d youngest", len(r.sessions), maxPerSIM)
	}
}

func TestTooManySessionsAreToldToComeAgain(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	r := New(Options{Clock: func() time.Time { return now }})
	for i := range maxSessions {
		r.sessions[fmt.Sprint(i)] = held(fmt.Sprint(i), now)
	}
	err := r.admit(held("one more", now))
	if e, ok := err.(*api.Error); !ok || e.Code != api.CodeTooManyRequests || e.RetryAfter == 0 {
		t.Fatalf("want a refusal that says when to come again, got %v", err)
	}
}
