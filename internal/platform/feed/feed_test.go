package feed_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
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
		events, err := w.Feed.Read(t.Context(), api.FeedPosition{Seq: after}, 7)
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
		if events, err := w.Feed.Read(t.Context(), api.FeedPosition{Seq: after}, 10); len(events) != 0 || err != nil {
			t.Error(events, err)
		}
	}
}

// Two platforms that were restored from one backup go on with the same numbers. The marks tell
// them apart.
func TestAPositionOfAnotherHistoryIsNotContinued(t *testing.T) {
	w := fixture.New(t)
	if _, err := w.Import(t.Context(), "meters", 3); err != nil {
		t.Fatal(err)
	}
	head, err := w.Feed.Position(t.Context())
	if err != nil || head.Seq != 3 || head.ID != w.Feed.ID() || len(head.Mark) != 16 {
		t.Fatalf("position %+v, %v", head, err)
	}
	if err := w.Feed.Check(t.Context(), head); err != nil {
		t.Errorf("the platform's own position: %v", err)
	}
	if err := w.Feed.Check(t.Context(), api.FeedPosition{ID: head.ID}); err != nil {
		t.Errorf("the beginning: %v", err)
	}
	for name, p := range map[string]api.FeedPosition{
		"another mark":    {ID: head.ID, Seq: 2, Mark: head.Mark},
		"another feed":    {ID: "other", Seq: 3, Mark: head.Mark},
		"behind the head": {ID: head.ID, Seq: 4, Mark: head.Mark},
	} {
		if err := w.Feed.Check(t.Context(), p); !errors.Is(err, feed.ErrHistory) {
			t.Errorf("%s: got %v, want ErrHistory", name, err)
		}
	}
	// A stream that is under way notices it, too.
	if _, err := w.Import(t.Context(), "meters", 1); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Feed.Read(t.Context(), api.FeedPosition{ID: head.ID, Seq: 3, Mark: "0000000000000000"}, 10); !errors.Is(err, feed.ErrHistory) {
		t.Errorf("reading on: got %v, want ErrHistory", err)
	}
	if events, err := w.Feed.Read(t.Context(), head, 10); err != nil || len(events) != 1 || events[0].Seq != 4 {
		t.Errorf("reading on: got %v, %v", events, err)
	}
}

func TestTheStateIsEverythingOnce(t *testing.T) {
	w := fixture.New(t)
	const sims = 1001 // more than a page
	if _, err := w.Import(t.Context(), "meters", sims); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	err := w.Feed.State(t.Context(), time.Now(), func(page []api.Event) error {
		for _, e := range page {
			if e.SIM == nil || seen[e.SIM.ICCID] {
				t.Fatalf("%+v", e)
			}
			seen[e.SIM.ICCID] = true
		}
		return nil
	})
	if err != nil || len(seen) != sims {
		t.Errorf("got %d SIMs, %v", len(seen), err)
	}
}
