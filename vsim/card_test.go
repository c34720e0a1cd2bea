package vsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

const iccid = "89882119900000000005"

type tester interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newState(t tester, profile string) image.State {
	t.Helper()
	s, err := vsim.Profile(profile, iccid)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func create(t *testing.T) (file string, c *vsim.Card) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "test.sim")
	c, err := vsim.Create(file, newState(t, "common"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return file, c
}

func TestCardIsOpenedByURI(t *testing.T) {
	file, c := create(t)
	if _, err := card.Open(t.Context(), "vsim:"+file); !errors.Is(err, image.ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	opened, err := card.Open(t.Context(), "vsim:"+file)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	number, err := card.ReadICCID(t.Context(), opened, 0)
	if err != nil || number != iccid {
		t.Errorf("ICCID %s, %v: want %s", number, err, iccid)
	}
	if _, err := card.Open(t.Context(), "vsim:"+file+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing image: %v", err)
	}
}

func TestClosedCardSaysSo(t *testing.T) {
	_, c := create(t)
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := c.Transmit(t.Context(), []byte{0, 0x70, 0, 0, 1}); !errors.Is(err, vsim.ErrClosed) {
		t.Errorf("%v: want ErrClosed", err)
	}
	c.Reset()
}

func TestEndedContextReachesNoCard(t *testing.T) {
	c := vsim.NewMemory(newState(t, "common"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Transmit(ended, []byte{0, 0x70, 0, 0, 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v: want context.Canceled", err)
	}
	if answer, err := c.Transmit(t.Context(), []byte{0, 0x70, 0, 0, 1}); err != nil || answer[0] != 1 {
		t.Errorf("channel %X, %v: want 1", answer, err)
	}
}

func TestResetClosesChannels(t *testing.T) {
	c := vsim.NewMemory(newState(t, "common"))
	if ch, err := card.OpenChannel(t.Context(), c); err != nil || ch != 1 {
		t.Fatal(ch, err)
	}
	c.Reset()
	if ch, err := card.OpenChannel(t.Context(), c); err != nil || ch != 1 {
		t.Errorf("channel %d, %v: want 1 again", ch, err)
	}
	if len(c.ATR()) == 0 || c.ATR()[0] != 0x3B {
		t.Errorf("ATR %X", c.ATR())
	}
}

// Many users at once each get the answers to their own commands.
func TestConcurrentUsersAreNotMixedUp(t *testing.T) {
	c := vsim.NewMemory(newState(t, "common"))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				// No Le: the answer waits for GET RESPONSE, on the same channel for all.
				data, err := card.Do(t.Context(), c, apdu.Command{INS: 0xA4, P2: 0x04, Data: []byte{0x2F, 0xE2}})
				if err != nil || !bytes.Contains(data, []byte{0x83, 0x02, 0x2F, 0xE2}) {
					t.Errorf("%X, %v", data, err)
					return
				}
			}
		})
	}
	all.Wait()
}

func TestDirectoryListsTheApplet(t *testing.T) {
	c := vsim.NewMemory(newState(t, "common"))
	if _, err := card.Do(t.Context(), c, apdu.Command{INS: 0xA4, P2: 0x0C, Data: []byte{0x2F, 0x00}}); err != nil {
		t.Fatal(err)
	}
	record, err := card.Do(t.Context(), c, apdu.Command{INS: 0xB2, P1: 1, P2: 4, Le: 256})
	if err != nil || !bytes.Contains(record, iotsafe.AIDs[0]) {
		t.Errorf("EF.DIR %X, %v", record, err)
	}
	for _, aid := range iotsafe.AIDs {
		if err := card.Select(t.Context(), c, 0, aid); err != nil {
			t.Errorf("%X: %v", aid, err)
		}
	}
}

func TestEveryProfileMakesACard(t *testing.T) {
	for _, name := range vsim.Profiles() {
		c := vsim.NewMemory(newState(t, name))
		for _, aid := range iotsafe.AIDs {
			if err := card.Select(t.Context(), c, 0, aid); err != nil {
				t.Errorf("%s: %X: %v", name, aid, err)
			}
		}
		if got := c.State().Profile; got != name {
			t.Errorf("%s calls itself %q", name, got)
		}
	}
	if _, err := vsim.Profile("other", iccid); err == nil || !strings.Contains(err.Error(), "common, wolfssl") {
		t.Errorf("unknown profile: %v, want the names of the known ones", err)
	}
	if _, err := vsim.Profile("common", "12345"); err == nil {
		t.Error("a card with a number that is none")
	}
}

func TestCardsHaveKeysOfTheirOwn(t *testing.T) {
	a, b := newState(t, "common").Domain.Keys, newState(t, "common").Domain.Keys
	seen := map[string]bool{}
	for _, key := range [][]byte{a.ENC, a.MAC, a.DEK, b.ENC, b.MAC, b.DEK} {
		if seen[string(key)] {
			t.Fatal("a key was drawn twice")
		}
		seen[string(key)] = true
	}
}

func encoded(t tester, s image.State) string {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func BenchmarkReadICCID(b *testing.B) {
	c := vsim.NewMemory(newState(b, "common"))
	for b.Loop() {
		if _, err := card.ReadICCID(b.Context(), c, 0); err != nil {
			b.Fatal(err)
		}
	}
}
