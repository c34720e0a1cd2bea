package device

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/device/internal/fixture"
)

func opening(sim *fixture.Slot) func(context.Context) (*Device, error) {
	return func(ctx context.Context) (*Device, error) {
		c, err := sim.Open(ctx)
		if err != nil {
			return nil, err
		}
		return New(ctx, c)
	}
}

func keeping(t *testing.T, look time.Duration, body func(t *testing.T, k *Keeper, sim *fixture.Slot, log *bytes.Buffer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim, log := fixture.NewSlot(fixture.EmptySIM(t, "common")), &bytes.Buffer{}
		k := NewKeeper(opening(sim), look, slog.New(slog.NewTextHandler(log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			k.Run(ctx)
			close(ended)
		}()
		synctest.Wait()
		body(t, k, sim, log)
		cancel()
		<-ended
		if _, err := k.Device(); !errors.Is(err, ErrAway) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestTheKeeperSaysThatTheSIMIsAwayAndOpensItAgain(t *testing.T) {
	keeping(t, time.Minute, func(t *testing.T, k *Keeper, sim *fixture.Slot, log *bytes.Buffer) {
		if d, err := k.Device(); err != nil || d.ICCID() != aSIM {
			t.Fatal(err)
		}
		sim.Remove()
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := k.Device(); !errors.Is(err, ErrAway) || !errors.Is(err, fixture.ErrRemoved) {
			t.Fatalf("%v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := strings.Count(log.String(), "the SIM is away"); n > 1 {
			t.Errorf("said %d times:\n%s", n, log)
		}
		if n := sim.Opened.Load(); n < 100 || n > 300 {
			t.Errorf("tried %d times in an hour", n)
		}
		sim.Insert()
		if _, err := k.Await(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestASuspicionIsLookedIntoAtOnce(t *testing.T) {
	keeping(t, 0, func(t *testing.T, k *Keeper, sim *fixture.Slot, _ *bytes.Buffer) {
		first, err := k.Device()
		if err != nil {
			t.Fatal(err)
		}
		k.Suspect() // without reason
		synctest.Wait()
		if again, err := k.Device(); err != nil || again != first {
			t.Fatalf("a false alarm cost the SIM: %v", err)
		}
		sim.Reset() // another program has reset the card: its channel is gone
		k.Suspect()
		synctest.Wait()
		second, err := k.Await(t.Context())
		if err != nil || second == first {
			t.Fatalf("not opened again: %v", err)
		}
		if err := second.Alive(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWaitingForASIMEndsWithTheContext(t *testing.T) {
	k := NewKeeper(nil, 0, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := k.Await(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := k.Lend(ctx); !errors.Is(err, ErrAway) {
		t.Errorf("%v", err)
	}
}

func TestALentSIMStaysOpen(t *testing.T) {
	keeping(t, 0, func(t *testing.T, k *Keeper, sim *fixture.Slot, _ *bytes.Buffer) {
		borrowed, err := k.Lend(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := borrowed.Close(); err != nil {
			t.Fatal(err)
		}
		if d, err := k.Device(); err != nil || d.Alive(t.Context()) != nil {
			t.Fatalf("%v", err)
		}
		sim.Remove()
		if _, err := borrowed.Onboard(t.Context(), nil); !errors.Is(err, ErrCard) {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if _, err := k.Device(); !errors.Is(err, ErrAway) {
			t.Errorf("the keeper has not heard of it: %v", err)
		}
	})
}
