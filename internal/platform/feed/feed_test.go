package feed_test

import (
	"context"
	"errors"
	"testing"

	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/fixture"
)

func TestAFollowerMissesNothing(t *testing.T) {
	w := fixture.New(t)
	const sims = 20
	done := make(chan error, 1)
	go func() {
		for range sims {
			if _, err := w.Import(context.Background(), "meters", 1); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for after := int64(0); after < sims; {
		if err := w.Feed.Wait(t.Context(), after); err != nil {
			t.Fatal(err)
		}
		events, err := w.Feed.Read(t.Context(), after, 7)
		if err != nil || len(events) == 0 {
			t.Fatal(len(events), err)
		}
		for _, e := range events {
			if after++; e.Seq != after || e.SIM == nil || e.SIM.ICCID != fixture.ICCID(int(after-1)) {
				t.Fatalf("event %d: %+v", after, e)
			}
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	w := fixture.New(t)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() { result <- w.Feed.Wait(ctx, w.Feed.Head()) }()
	cancel(gone)
	if err := <-result; !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
}

func TestTheFeedKeepsItsIdentity(t *testing.T) {
	w := fixture.New(t)
	again, err := feed.New(t.Context(), w.Store)
	if err != nil || again.ID() != w.Feed.ID() || again.ID() == "" {
		t.Errorf("%q, then %q, %v", w.Feed.ID(), again.ID(), err)
	}
	if other := fixture.New(t); other.Feed.ID() == w.Feed.ID() {
		t.Error("two platforms have the same feed")
	}
}

func TestReadingBehindTheHeadGivesNothing(t *testing.T) {
	w := fixture.New(t)
	for _, after := range []int64{0, 100} {
		if events, err := w.Feed.Read(t.Context(), after, 10); len(events) != 0 || err != nil {
			t.Error(events, err)
		}
	}
}
