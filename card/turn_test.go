package card

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestTurnIsHadByOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := NewTurn()
		unlock, err := turn.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		had := false
		go func() {
			unlock, err := turn.Lock(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			had = true
			unlock()
		}()
		synctest.Wait()
		if had {
			t.Error("two have the turn")
		}
		unlock()
		synctest.Wait()
		if !had {
			t.Error("nobody has the turn")
		}
	})
}

func TestTurnIsNotWaitedForLongerThanTheContext(t *testing.T) {
	turn := NewTurn()
	unlock, err := turn.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := turn.Lock(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("%v: want context.Canceled", err)
	}
	unlock()
}
