package card

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/apdu"
)

// answers is a card that gives the same answers in order and notes what it was sent.
type answers struct {
	give   []string
	got    []string
	locked bool
	locks  int
}

func (a *answers) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if len(a.give) == 0 {
		return nil, errors.New("card removed")
	}
	next := a.give[0]
	a.give = a.give[1:]
	a.got = append(a.got, strings.ToUpper(hex.EncodeToString(command)))
	return hex.DecodeString(next)
}

func (a *answers) Close() error { return nil }

// shared is a card that several may use.
type shared struct {
	answers
	t *testing.T
}

func (s *shared) Lock(context.Context) (func(), error) {
	s.locked, s.locks = true, s.locks+1
	return func() { s.locked = false }, nil
}

func (s *shared) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if !s.locked {
		s.t.Errorf("% X came outside of the lock", command)
	}
	return s.answers.Transmit(ctx, command)
}

func TestACommandAndItsGetResponseStayTogether(t *testing.T) {
	s := &shared{answers: answers{give: []string{"6101", "AA9000"}}, t: t}
	data, err := Do(t.Context(), s, apdu.Command{INS: 0xCB})
	if err != nil || len(data) != 1 || s.locks != 1 || s.locked {
		t.Fatalf("%X, %v, locked %d times, still %v", data, err, s.locks, s.locked)
	}
}

func TestOpeningAChannelTakesOnlyAProperNumber(t *testing.T) {
	for answer, want := range map[string]int{"019000": 1, "139000": 19, "9000": 0, "009000": 0, "149000": 0, "01029000": 0, "6881": 0} {
		ch, err := OpenChannel(t.Context(), &answers{give: []string{answer}})
		if ch != want || (err == nil) != (want > 0) {
			t.Errorf("%s: channel %d, %v", answer, ch, err)
		}
	}
	if _, err := OpenChannel(t.Context(), &answers{give: []string{"6A81"}}); !errors.Is(err, apdu.FunctionNotSupported) {
		t.Error(err)
	}
}

func TestSelectGoesToItsChannelWithoutLe(t *testing.T) {
	a := &answers{give: []string{"9000", "9000"}}
	if err := Select(t.Context(), a, 1, []byte{0xA0, 0, 0, 5, 0x59, 0, 0x10}); err != nil {
		t.Fatal(err)
	}
	if err := CloseChannel(t.Context(), a, 1); err != nil {
		t.Fatal(err)
	}
	if a.got[0] != "01A4040007A0000005590010" || a.got[1] != "00708001" {
		t.Fatal(a.got)
	}
}

func TestReadICCID(t *testing.T) {
	for name, c := range map[string]struct{ give, want []string }{
		"by path":      {[]string{"9000", "981032547698103254769000"}, []string{"02A4080C022FE2", "02B000000A"}},
		"file by file": {[]string{"6A86", "9000", "9000", "981032547698103254769000"}, []string{"02A4080C022FE2", "02A4000C023F00", "02A4000C022FE2", "02B000000A"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &answers{give: c.give}
			n, err := ReadICCID(t.Context(), a, 2)
			if err != nil || n != "89012345678901234567" {
				t.Fatalf("%q, %v", n, err)
			}
			if !slices.Equal(a.got, c.want) {
				t.Fatal(a.got)
			}
		})
	}
}

func TestICCIDsSurviveTheirFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, err := ParseICCID(rapid.StringMatching(`[0-9]{18,20}`).Draw(t, "iccid"))
		if err != nil {
			t.Fatal(err)
		}
		file := n.File()
		if got, err := DecodeICCID(file[:]); err != nil || got != n {
			t.Fatalf("%s became %s: %v", n, got, err)
		}
	})
	for _, bad := range []string{"", "8901", "8901234567890123456789", "8901234567890123456x"} {
		if _, err := ParseICCID(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// named is a card that knows what it was opened by.
type named struct {
	answers
	rest string
}

func init() {
	Register("cardtest", func(_ context.Context, rest string) (Conn, error) {
		if rest == "gone" {
			return nil, errors.New("no such card")
		}
		return &named{rest: rest}, nil
	})
}

func TestCardsAreOpenedByTheSchemeOfTheirURI(t *testing.T) {
	c, err := Open(t.Context(), "cardtest:a:b")
	if err != nil || c.(*named).rest != "a:b" {
		t.Errorf("%v, %v", c, err)
	}
	for uri, want := range map[string]string{
		"cardtest:gone": "no such card", "other:x": "cardtest:…", "file": "no scheme", "": "no scheme", ":x": "no scheme",
	} {
		if _, err := Open(t.Context(), uri); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

func FuzzDecodeICCID(f *testing.F) {
	f.Add([]byte{0x98, 0x10, 0x32, 0x54, 0x76, 0x98, 0x10, 0x32, 0x54, 0xF6})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := DecodeICCID(b)
		if err != nil {
			return
		}
		if _, err := ParseICCID(string(n)); err != nil {
			t.Fatal(err)
		}
		file := n.File()
		if again, err := DecodeICCID(file[:]); err != nil || again != n {
			t.Fatalf("%s became %s: %v", n, again, err)
		}
	})
}
