package pcsc

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/internal/e2e/realparts"
)

var ok = []byte{0x90, 0x00}

// always answers every command with 9000.
func always([]byte) []byte { return ok }

// insert puts a card into the virtual reader and waits until pcscd knows.
func insert(t testing.TB, atr []byte, answer func([]byte) []byte) *realparts.Card {
	t.Helper()
	c := realparts.InsertCard(t, atr, answer)
	waitPresent(t, true)
	return c
}

// waitPresent waits until the virtual reader has, or has not, a card.
func waitPresent(t testing.TB, want bool) {
	t.Helper()
	realparts.WaitFor(t, "the reader to notice its card", func() bool {
		readers, err := Readers(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return len(readers) > 0 && readers[0].Ready() == want
	})
}

// open opens the card in the virtual reader until the test ends.
func open(t testing.TB) *Card {
	t.Helper()
	c, err := Open(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestWithoutTheServiceTheErrorSaysWhatToStart(t *testing.T) {
	_, err := card.Open(t.Context(), "pcsc:")
	if !errors.Is(err, ErrNoService) || !strings.Contains(err.Error(), "apt-get install pcscd") {
		t.Errorf("open without pcscd: %v, want ErrNoService with a hint", err)
	}
	if _, err := Readers(t.Context()); !errors.Is(err, ErrNoService) {
		t.Errorf("readers without pcscd: %v, want ErrNoService", err)
	}
}

func TestWithoutTheLibraryTheErrorSaysWhatToInstall(t *testing.T) {
	for library, advice := range map[string]string{"libpcsclite-is-not-here.so.1": "apt-get install pcscd", "libc.so.6": "install a newer libpcsclite1"} {
		if _, err := bind(library); err == nil || !strings.Contains(err.Error(), advice) {
			t.Errorf("with %s: %v, want %q", library, err, advice)
		}
	}
	if _, err := bind("libpcsclite-is-not-here.so.1"); !errors.Is(err, ErrNoService) {
		t.Errorf("without the library: %v, want ErrNoService", err)
	}
}

func TestReadersAreListedWithTheirCards(t *testing.T) {
	realparts.PCSCD(t)
	readers, err := Readers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(readers) != 2 || readers[0].Name != realparts.ReaderName || readers[0].State != Empty || readers[0].ATR != nil {
		t.Errorf("readers are %+v, want two empty ones, %q first", readers, realparts.ReaderName)
	}
	if _, err := Open(t.Context(), ""); !errors.Is(err, ErrNoCard) {
		t.Errorf("open an empty reader: %v, want ErrNoCard", err)
	}
	if _, err := Open(t.Context(), "Gamma"); !errors.Is(err, ErrNoReader) || !strings.Contains(err.Error(), realparts.ReaderName) {
		t.Errorf("open a reader that is not there: %v, want ErrNoReader and the readers' names", err)
	}

	insert(t, realparts.ATRT1, always)
	if readers, err = Readers(t.Context()); err != nil || readers[0].State != Present || !slices.Equal(readers[0].Protocols, []int{1}) || !bytes.Equal(readers[0].ATR, realparts.ATRT1) {
		t.Errorf("readers are %+v, %v, want a card with ATR % X in the first", readers, err, realparts.ATRT1)
	}
	c := open(t)
	if readers, err = Readers(t.Context()); err != nil || readers[0].State != InUse {
		t.Errorf("readers are %+v, %v, want the first in use", readers, err)
	}
	if c.Reader() != realparts.ReaderName || !bytes.Equal(c.ATR(), realparts.ATRT1) {
		t.Errorf("opened %q with ATR % X", c.Reader(), c.ATR())
	}
}

func TestCommandsReachTheCardAsItsProtocolCarriesThem(t *testing.T) {
	cases := []struct{ name, sent, t0 string }{
		{"case 1", "\x00\x44\x00\x00", "\x00\x44\x00\x00\x00"},
		{"case 2", "\x00\x84\x00\x00\x08", "\x00\x84\x00\x00\x08"},
		{"case 3", "\x00\xA4\x00\x0C\x02\x3F\x00", "\x00\xA4\x00\x0C\x02\x3F\x00"},
		{"case 4", "\x00\xA4\x00\x04\x02\x3F\x00\x00", "\x00\xA4\x00\x04\x02\x3F\x00"},
	}
	for _, protocol := range []struct {
		name string
		atr  []byte
	}{{"T=0", realparts.ATRT0}, {"T=1", realparts.ATRT1}} {
		t.Run(protocol.name, func(t *testing.T) {
			realparts.PCSCD(t)
			inserted := insert(t, protocol.atr, always)
			c := open(t)
			for i, test := range cases {
				answer, err := c.Transmit(t.Context(), []byte(test.sent))
				if err != nil || !bytes.Equal(answer, ok) {
					t.Fatalf("%s: % X, %v", test.name, answer, err)
				}
				want := test.sent
				if protocol.name == "T=0" {
					want = test.t0
				}
				if got := inserted.Commands()[i]; string(got) != want {
					t.Errorf("%s: the card got % X, want % X", test.name, got, want)
				}
			}
		})
	}
}

func TestAnAnswerBehind61xxIsCollectedUnderT0(t *testing.T) {
	realparts.PCSCD(t)
	full := bytes.Repeat([]byte{0x5A}, 256)
	insert(t, realparts.ATRT0, func(command []byte) []byte {
		switch command[1] {
		case 0xA4:
			return []byte{0x61, 0x00}
		case 0xC0:
			return append(full[:256:256], ok...)
		}
		return []byte{0x6D, 0x00}
	})
	got, err := card.Do(t.Context(), open(t), apdu.Command{INS: 0xA4, Data: []byte{0x3F, 0x00}, Le: apdu.MaxLe})
	if err != nil || !bytes.Equal(got, full) {
		t.Errorf("got %d bytes, %v, want 256", len(got), err)
	}
}

func TestATransactionKeepsOthersOut(t *testing.T) {
	realparts.PCSCD(t)
	inserted := insert(t, realparts.ATRT0, always)
	// Two connections, as two programs would have them, and two users of one of them.
	users := []*Card{open(t), open(t)}
	users = append(users, users[0])
	var wg sync.WaitGroup
	for id, c := range users {
		wg.Go(func() {
			for range 3 {
				unlock, err := c.Lock(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				for step := range 3 {
					if _, err := c.Transmit(t.Context(), []byte{0, byte(id), byte(step), 0, 0}); err != nil {
						t.Error(err)
					}
				}
				unlock()
			}
		})
	}
	wg.Wait()
	commands := inserted.Commands()
	if len(commands) != 27 {
		t.Fatalf("the card got %d commands, want 27", len(commands))
	}
	for i, command := range commands {
		if first := commands[i-i%3]; command[1] != first[1] || int(command[2]) != i%3 {
			t.Fatalf("command %d is step %d of user %d, inside a transaction of user %d", i, command[2], command[1], first[1])
		}
	}
}

func TestWaitingForATransactionEndsWithTheContext(t *testing.T) {
	realparts.PCSCD(t)
	insert(t, realparts.ATRT0, always)
	holder, waiter := open(t), open(t)
	unlock, err := holder.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() {
		_, err := waiter.Lock(ctx)
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("lock: %v, want context.Canceled", err)
	}
	unlock()
	unlock() // does nothing
	// The abandoned attempt has not kept the card.
	for _, c := range []*Card{waiter, holder, waiter} {
		unlock, err := c.Lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
}

func TestACommandThatIsAbandonedDelaysTheNextOnly(t *testing.T) {
	realparts.PCSCD(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	insert(t, realparts.ATRT0, func(command []byte) []byte {
		if command[1] == 1 {
			close(arrived)
			<-release
			return []byte{0x65, 0x81}
		}
		return ok
	})
	c := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := c.Transmit(ctx, []byte{0, 1, 0, 0}); !errors.Is(err, context.Canceled) {
		t.Errorf("abandoned command: %v, want context.Canceled", err)
	}
	close(release)
	if answer, err := c.Transmit(t.Context(), []byte{0, 2, 0, 0}); err != nil || !bytes.Equal(answer, ok) {
		t.Errorf("next command: % X, %v, want its own answer", answer, err)
	}
}

func TestAResetByAnotherProgramIsToldOnce(t *testing.T) {
	realparts.PCSCD(t)
	insert(t, realparts.ATRT0, always)
	c := open(t)
	calls := map[string]func() error{
		"transmit": func() error { _, err := c.Transmit(t.Context(), []byte{0, 1, 0, 0}); return err },
		"lock": func() error {
			unlock, err := c.Lock(t.Context())
			if err == nil {
				unlock()
			}
			return err
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			if err := call(); err != nil {
				t.Fatal(err)
			}
			realparts.Run(t, "opensc-tool", "--reset")
			if err := call(); !errors.Is(err, ErrReset) {
				t.Errorf("after a reset: %v, want ErrReset", err)
			}
			if err := call(); err != nil {
				t.Errorf("and then: %v, want success", err)
			}
		})
	}
}

func TestARemovedCardIsTold(t *testing.T) {
	realparts.PCSCD(t)
	inserted := insert(t, realparts.ATRT0, always)
	c := open(t)
	inserted.Remove()
	waitPresent(t, false)
	if _, err := c.Transmit(t.Context(), []byte{0, 1, 0, 0}); !errors.Is(err, ErrCardRemoved) {
		t.Errorf("transmit: %v, want ErrCardRemoved", err)
	}
	if _, err := c.Lock(t.Context()); !errors.Is(err, ErrCardRemoved) {
		t.Errorf("lock: %v, want ErrCardRemoved", err)
	}
	insert(t, realparts.ATRT0, always)
	if _, err := c.Transmit(t.Context(), []byte{0, 1, 0, 0}); !errors.Is(err, ErrCardRemoved) {
		t.Errorf("transmit to another card: %v, want ErrCardRemoved", err)
	}
	if _, err := open(t).Transmit(t.Context(), []byte{0, 1, 0, 0}); err != nil {
		t.Errorf("transmit after opening again: %v", err)
	}
}

func TestACardTakenOutDuringACommandIsTold(t *testing.T) {
	realparts.PCSCD(t)
	insert(t, realparts.ATRT0, func([]byte) []byte { return nil })
	c := open(t)
	if answer, err := c.Transmit(t.Context(), []byte{0, 1, 0, 0}); err == nil {
		t.Errorf("transmit: % X, want an error", answer)
	}
	waitPresent(t, false)
	if _, err := c.Transmit(t.Context(), []byte{0, 1, 0, 0}); !errors.Is(err, ErrCardRemoved) {
		t.Errorf("transmit: %v, want ErrCardRemoved", err)
	}
}

func TestAServiceThatGoesAwayIsTold(t *testing.T) {
	service := realparts.PCSCD(t)
	insert(t, realparts.ATRT0, always)
	c := open(t)
	service.Stop()
	if _, err := c.Transmit(t.Context(), []byte{0, 1, 0, 0}); !errors.Is(err, ErrNoService) {
		t.Errorf("transmit: %v, want ErrNoService", err)
	}
}

func TestAClosedCardSaysSo(t *testing.T) {
	realparts.PCSCD(t)
	insert(t, realparts.ATRT0, always)
	c := open(t)
	unlock, err := c.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	unlock()
	if _, err := c.Transmit(t.Context(), []byte{0, 1, 0, 0}); !errors.Is(err, ErrClosed) {
		t.Errorf("transmit: %v, want ErrClosed", err)
	}
	if _, err := c.Lock(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("lock: %v, want ErrClosed", err)
	}
}

func BenchmarkTransmit(b *testing.B) {
	realparts.PCSCD(b)
	insert(b, realparts.ATRT0, always)
	c := open(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Transmit(b.Context(), []byte{0, 1, 0, 0}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLockedExchange(b *testing.B) {
	realparts.PCSCD(b)
	insert(b, realparts.ATRT0, always)
	c := open(b)
	for b.Loop() {
		if _, err := card.Do(b.Context(), c, apdu.Command{INS: 1}); err != nil {
			b.Fatal(err)
		}
	}
}
