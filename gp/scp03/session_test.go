package scp03

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"pgregory.net/rapid"
)

var levels = []Level{0x01, 0x03, 0x11, 0x13, 0x33}

var testAID = []byte{0xA0, 0, 0, 1, 0x51, 0, 0, 0}

// fatal is what *testing.T and *rapid.T have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func pair(t fatal, size int, level Level) (*Host, *Card) {
	t.Helper()
	h, err := NewHost(testKeys(size), 0x30, [8]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	h.AID = testAID
	id := Identity{Diversification: [10]byte{0x98, 0x88}, KeyVersion: 0x30, AID: testAID}
	c, answer, err := NewCard(testKeys(size), id, 7, [8]byte(h.InitializeUpdate().Data))
	if err != nil {
		t.Fatal(err)
	}
	authenticate, err := h.Authenticate(answer, level)
	if err != nil {
		t.Fatal(err)
	}
	if sw := c.Authenticate(authenticate); sw != apdu.OK {
		t.Fatal(sw)
	}
	return h, c
}

func drawCommand(t *rapid.T, limit int) apdu.Command {
	return apdu.Command{
		CLA:  rapid.SampledFrom([]byte{0x00, 0x80}).Draw(t, "CLA"),
		INS:  rapid.Byte().Draw(t, "INS"),
		P1:   rapid.Byte().Draw(t, "P1"),
		P2:   rapid.Byte().Draw(t, "P2"),
		Data: rapid.SliceOfN(rapid.Byte(), 0, limit).Draw(t, "data"),
		Le:   rapid.SampledFrom([]int{0, 256}).Draw(t, "Le"),
	}
}

func same(a, b apdu.Command) bool {
	return a.CLA == b.CLA && a.INS == b.INS && a.P1 == b.P1 && a.P2 == b.P2 && a.Le == b.Le && bytes.Equal(a.Data, b.Data)
}

// Whatever the commands, however many are wrapped ahead and on whichever channel they
// travel, the card reads what the host wrote and the host reads what the card answered.
func TestHostAndCardAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		level := rapid.SampledFrom(levels).Draw(t, "level")
		h, c := pair(t, rapid.SampledFrom([]int{16, 24, 32}).Draw(t, "key size"), level)
		limit := MaxData
		if level.Has(CDEC) {
			limit = MaxDataEncipher
		}
		for range rapid.IntRange(1, 3).Draw(t, "batches") {
			channel := rapid.IntRange(0, apdu.MaxChannel).Draw(t, "channel")
			var sent, wrapped []apdu.Command
			for range rapid.IntRange(1, 4).Draw(t, "commands ahead") {
				plain := drawCommand(t, limit)
				w, err := h.Wrap(plain)
				if err != nil {
					t.Fatal(err)
				}
				w.CLA = apdu.OnChannel(w.CLA, channel)
				sent, wrapped = append(sent, plain), append(wrapped, w)
			}
			var answers, protected []apdu.Response
			for i, w := range wrapped {
				got, sw := c.Unwrap(w)
				if sw != apdu.OK {
					t.Fatal(sw)
				}
				want := sent[i]
				want.CLA = apdu.OnChannel(want.CLA, channel)
				if !same(got, want) {
					t.Fatalf("card read %v, host wrote %v", got, want)
				}
				r := apdu.Response{SW: rapid.SampledFrom([]apdu.SW{0x9000, 0x6283, 0x6310, 0x63CF, 0x6A80, 0x6985}).Draw(t, "SW")}
				if protectedStatus(r.SW) {
					r.Data = rapid.SliceOfN(rapid.Byte(), 0, 239).Draw(t, "answer")
				}
				answers, protected = append(answers, r), append(protected, c.Wrap(r))
			}
			for i, p := range protected {
				got, err := h.Unwrap(p)
				if err != nil {
					t.Fatal(err)
				}
				if got.SW != answers[i].SW || !bytes.Equal(got.Data, answers[i].Data) {
					t.Fatalf("host read %X %v, card answered %X %v", got.Data, got.SW, answers[i].Data, answers[i].SW)
				}
			}
		}
	})
}

// A changed bit anywhere but in the channel number and Le, which no MAC covers, ends the
// session on the card.
func TestChangedCommandEndsTheSession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, c := pair(t, 16, rapid.SampledFrom(levels).Draw(t, "level"))
		w, err := h.Wrap(drawCommand(t, 40))
		if err != nil {
			t.Fatal(err)
		}
		next, err := h.Wrap(apdu.Command{CLA: 0x80, INS: 0xF2})
		if err != nil {
			t.Fatal(err)
		}
		b := append([]byte{w.CLA, w.INS, w.P1, w.P2}, w.Data...)
		bit := rapid.IntRange(2, 8*len(b)-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		changed := apdu.Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3], Data: b[4:], Le: w.Le}
		if _, sw := c.Unwrap(changed); sw != apdu.SecurityNotSatisfied {
			t.Fatalf("changed command: %04X, want 6982", uint16(sw))
		}
		if c.Open() {
			t.Fatal("the session is still open")
		}
		for _, late := range []apdu.Command{w, next} {
			if _, sw := c.Unwrap(late); sw != apdu.SecurityNotSatisfied {
				t.Fatalf("command after the end: %04X, want 6982", uint16(sw))
			}
		}
	})
}

// A changed bit of an answer that counts as success ends the session on the host, and so
// does an answer that was held back, repeated or swapped.
func TestChangedAnswerEndsTheSession(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, c := pair(t, 16, rapid.SampledFrom([]Level{0x11, 0x13, 0x33}).Draw(t, "level"))
		w, _ := h.Wrap(apdu.Command{CLA: 0x80, INS: 0xCA, Le: 256})
		if _, sw := c.Unwrap(w); sw != apdu.OK {
			t.Fatal(sw)
		}
		b := c.Wrap(apdu.Response{Data: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "answer"), SW: apdu.OK}).Bytes()
		bit := rapid.IntRange(0, 8*len(b)-1).Draw(t, "bit")
		b[bit/8] ^= 1 << (bit % 8)
		changed, err := apdu.ParseResponse(b)
		if err != nil {
			t.Fatal(err)
		}
		r, err := h.Unwrap(changed)
		if err == nil {
			t.Fatalf("%X %v was taken for the card's answer", r.Data, r.SW)
		}
		wantResponseMAC(t, h, err)
	})
}

func TestAnswersCannotBeSwappedOrForged(t *testing.T) {
	protect := func(t *testing.T, answers ...apdu.Response) (*Host, []apdu.Response) {
		h, c := pair(t, 16, Full)
		var out []apdu.Response
		for _, r := range answers {
			w, err := h.Wrap(apdu.Command{CLA: 0x80, INS: 0xE2, Le: 256})
			if err != nil {
				t.Fatal(err)
			}
			if _, sw := c.Unwrap(w); sw != apdu.OK {
				t.Fatal(sw)
			}
			out = append(out, c.Wrap(r))
		}
		return h, out
	}
	ok := apdu.Response{SW: apdu.OK}
	t.Run("swapped", func(t *testing.T) {
		h, r := protect(t, ok, ok)
		_, err := h.Unwrap(r[1])
		wantResponseMAC(t, h, err)
	})
	t.Run("repeated", func(t *testing.T) {
		h, r := protect(t, ok, ok)
		if _, err := h.Unwrap(r[0]); err != nil {
			t.Fatal(err)
		}
		_, err := h.Unwrap(r[0])
		wantResponseMAC(t, h, err)
	})
	for _, forged := range []apdu.Response{
		ok, {SW: 0x910F}, {SW: apdu.RemoteAdminDone}, {SW: 0x6283},
		{Data: []byte{1}, SW: apdu.WrongData}, {Data: make([]byte, 8), SW: apdu.OK},
	} {
		t.Run(fmt.Sprintf("%X %04X", forged.Data, uint16(forged.SW)), func(t *testing.T) {
			h, _ := protect(t, ok)
			_, err := h.Unwrap(forged)
			wantResponseMAC(t, h, err)
		})
	}
	t.Run("an answer to no command", func(t *testing.T) {
		h, _ := pair(t, 16, Full)
		if _, err := h.Unwrap(ok); err == nil {
			t.Error("taken for the card's")
		}
	})
}

func wantResponseMAC(t fatal, h *Host, err error) {
	t.Helper()
	if !errors.Is(err, ErrResponseMAC) {
		t.Fatalf("error %v: want ErrResponseMAC", err)
	}
	if _, err := h.Wrap(apdu.Command{CLA: 0x80, INS: 0xF2}); !errors.Is(err, ErrNoSession) {
		t.Fatalf("wrapping after the end: %v, want ErrNoSession", err)
	}
	if _, err := h.Unwrap(apdu.Response{SW: apdu.OK}); !errors.Is(err, ErrNoSession) {
		t.Fatalf("unwrapping after the end: %v, want ErrNoSession", err)
	}
}

func TestHostRefusesACardThatLies(t *testing.T) {
	h, _ := NewHost(testKeys(16), 0x30, [8]byte{})
	id := Identity{KeyVersion: 0x30, AID: testAID}
	_, answer, err := NewCard(testKeys(16), id, 7, [8]byte(h.InitializeUpdate().Data))
	if err != nil {
		t.Fatal(err)
	}
	change := func(at int, to byte) []byte {
		b := bytes.Clone(answer)
		b[at] = to
		return b
	}
	// A card that holds the keys but picks its challenge freely.
	chosen := func() []byte {
		challenge := [8]byte{9, 9, 9}
		s := newSession(testKeys(16), [8]byte{}, challenge)
		return initializeAnswer{version: 0x30, i: 0x70, challenge: challenge, cryptogram: [8]byte(s.cryptogram(cardCryptogram)), counter: 7}.bytes()
	}
	for _, c := range []struct {
		name   string
		answer []byte
		want   error
	}{
		{"other challenge", change(13, answer[13]^1), ErrCardCryptogram},
		{"other cryptogram", change(28, answer[28]^0x80), ErrCardCryptogram},
		{"other key version", change(10, 0x31), ErrKeyVersion},
		{"another protocol", change(11, 0x02), ErrProtocol},
		{"S16 mode", change(12, 0x71), ErrProtocol},
		{"no R-ENC", change(12, 0x30), ErrProtocol},
		{"no R-MAC", change(12, 0x10), ErrProtocol},
		{"counter where none belongs", change(12, 0x60), ErrProtocol},
		{"other counter", change(31, 8), ErrProtocol},
		{"challenge not from the counter", chosen(), ErrProtocol},
		{"no counter", answer[:29], ErrProtocol},
		{"cut short", answer[:28], ErrProtocol},
		{"nothing", nil, ErrProtocol},
		{"too long", append(bytes.Clone(answer), 0), ErrProtocol},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := NewHost(testKeys(16), 0x30, [8]byte{})
			h.AID = testAID
			if _, err := h.Authenticate(c.answer, Full); !errors.Is(err, c.want) {
				t.Errorf("%v: want %v", err, c.want)
			}
			if _, err := h.Wrap(apdu.Command{CLA: 0x80}); !errors.Is(err, ErrNoSession) {
				t.Errorf("a session was opened: %v", err)
			}
		})
	}
}

func TestHostTakesACardWithARandomChallenge(t *testing.T) {
	challenge := [8]byte{9, 9, 9}
	s := newSession(testKeys(16), [8]byte{}, challenge)
	answer := initializeAnswer{version: 0x3F, i: 0x60, challenge: challenge, cryptogram: [8]byte(s.cryptogram(cardCryptogram))}.bytes()
	h, _ := NewHost(testKeys(16), 0, [8]byte{})
	h.AID = testAID
	if _, err := h.Authenticate(answer, Full); err != nil {
		t.Fatal(err)
	}
	if h.SequenceCounter() != 0 {
		t.Errorf("sequence counter %d: want 0", h.SequenceCounter())
	}
}

func TestCardRefusesAHostWithoutTheKeys(t *testing.T) {
	begin := func(t *testing.T) (*Card, apdu.Command) {
		h, _ := NewHost(testKeys(16), 0x30, [8]byte{1})
		c, answer, err := NewCard(testKeys(16), Identity{KeyVersion: 0x30, AID: testAID}, 1, [8]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		a, err := h.Authenticate(answer, Full)
		if err != nil {
			t.Fatal(err)
		}
		a.Data = bytes.Clone(a.Data)
		return c, a
	}
	for _, x := range []struct {
		name   string
		change func(*apdu.Command)
		want   apdu.SW
	}{
		{"other cryptogram", func(a *apdu.Command) { a.Data[0] ^= 1 }, apdu.AuthenticationFailed},
		{"other MAC", func(a *apdu.Command) { a.Data[15] ^= 1 }, apdu.SecurityNotSatisfied},
		{"lower level", func(a *apdu.Command) { a.P1 = 0x01 }, apdu.SecurityNotSatisfied},
		{"no level", func(a *apdu.Command) { a.P1 = 0x00 }, apdu.WrongP1P2},
		{"level without C-MAC", func(a *apdu.Command) { a.P1 = 0x32 }, apdu.WrongP1P2},
		{"plain class", func(a *apdu.Command) { a.CLA = 0x80 }, apdu.SecurityNotSatisfied},
		{"no MAC", func(a *apdu.Command) { a.Data = a.Data[:8] }, apdu.WrongLength},
		{"no data", func(a *apdu.Command) { a.Data = nil }, apdu.WrongLength},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, a := begin(t)
			x.change(&a)
			if sw := c.Authenticate(a); sw != x.want {
				t.Errorf("%04X: want %04X", uint16(sw), uint16(x.want))
			}
			if _, right := begin(t); c.Authenticate(right) != apdu.ConditionsNot || c.Open() {
				t.Error("a second try was given on the same challenge")
			}
		})
	}
}

func TestCommandThatDoesNotFitIsRefusedAndTheSessionGoesOn(t *testing.T) {
	for level, limit := range map[Level]int{0x11: 247, 0x33: 239} {
		h, c := pair(t, 16, level)
		if _, err := h.Wrap(apdu.Command{CLA: 0x80, Data: make([]byte, limit+1)}); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: %v, want ErrTooLong", level, err)
		}
		w, err := h.Wrap(apdu.Command{CLA: 0x80, Data: make([]byte, limit)})
		if err != nil {
			t.Fatal(err)
		}
		if _, sw := c.Unwrap(w); sw != apdu.OK {
			t.Error(sw)
		}
	}
}

func TestKeysAreNeverPrinted(t *testing.T) {
	k := testKeys(16)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		for _, value := range []any{k, &k, struct{ K Keys }{k}, []Keys{k}} {
			got := fmt.Sprintf(verb, value)
			if lower := strings.ToLower(got); strings.Contains(lower, "0001") || strings.Contains(lower, "0x1") || strings.Contains(lower, "1 2") {
				t.Errorf("%s of %T prints %s", verb, value, got)
			}
		}
	}
}

func TestKeysOfAWrongSizeAreRefused(t *testing.T) {
	for _, k := range []Keys{{}, testKeys(15), {ENC: make([]byte, 16), MAC: make([]byte, 24), DEK: make([]byte, 16)}} {
		if _, err := NewHost(k, 0, [8]byte{}); !errors.Is(err, ErrKeySize) {
			t.Errorf("%v: %v, want ErrKeySize", k, err)
		}
		if _, _, err := NewCard(k, Identity{}, 0, [8]byte{}); !errors.Is(err, ErrKeySize) {
			t.Errorf("%v: %v, want ErrKeySize", k, err)
		}
	}
}

func FuzzHostAuthenticate(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(f, v.answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		h, _ := NewHost(Keys{make([]byte, 16), make([]byte, 16), make([]byte, 16)}, 0, [8]byte{})
		if _, err := h.Authenticate(answer, Full); err == nil {
			t.Error("an answer without the keys was believed")
		}
	})
}

func FuzzCardUnwrap(f *testing.F) {
	f.Add([]byte{0x84, 0xF2, 0x20, 0x02, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add(unhex(f, vectors[1].wrapped[0]))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := apdu.Parse(b)
		if err != nil {
			return
		}
		_, card := pair(t, 16, Full)
		if _, sw := card.Unwrap(c); sw != apdu.SecurityNotSatisfied || card.Open() {
			t.Errorf("%X: %v", b, sw)
		}
	})
}

func FuzzHostUnwrap(f *testing.F) {
	f.Add([]byte{0x90, 0x00})
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return
		}
		h, _ := pair(t, 16, Full)
		if _, err := h.Wrap(apdu.Command{CLA: 0x80, INS: 0xF2}); err != nil {
			t.Fatal(err)
		}
		if plain, err := h.Unwrap(r); err == nil && (plain.SW.Succeeded() || len(plain.Data) > 0) {
			t.Errorf("%X was taken for the card's answer", b)
		}
	})
}

func BenchmarkWrappedBlock(b *testing.B) {
	h, c := pair(b, 16, Full)
	block := apdu.Command{CLA: 0x80, INS: 0xE2, Data: make([]byte, 239), Le: 256}
	b.ReportAllocs()
	for b.Loop() {
		w, _ := h.Wrap(block)
		_, _ = c.Unwrap(w)
		if _, err := h.Unwrap(c.Wrap(apdu.Response{SW: apdu.OK})); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSession(b *testing.B) {
	for b.Loop() {
		pair(b, 16, Full)
	}
}
