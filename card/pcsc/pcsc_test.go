package pcsc

import (
	"errors"
	"strings"
	"testing"
)

func TestPickFindsTheReaderThatIsMeant(t *testing.T) {
	readers := []Reader{
		{Name: "Alpha 00 00"},
		{Name: "Alpha 00 01", State: Present},
		{Name: "Beta", State: Present},
		{Name: "Beta Two", State: Present},
	}
	for _, test := range []struct{ want, found string }{
		{"", "Alpha 00 01"}, // the first with a card in it
		{"Beta", "Beta"},    // exact, though it begins another name too
		{"Beta T", "Beta Two"},
		{"Two", "Beta Two"},
		{"00 01", "Alpha 00 01"},
	} {
		r, err := pick(readers, test.want)
		if err != nil || r.Name != test.found {
			t.Errorf("pick(%q) = %q, %v, want %q", test.want, r.Name, err, test.found)
		}
	}
}

func TestPickSaysWhatThereIs(t *testing.T) {
	readers := []Reader{{Name: "Alpha 00 00"}, {Name: "Alpha 00 01"}}
	for _, test := range []struct {
		readers []Reader
		want    string
		kind    error
		lists   bool
	}{
		{nil, "", ErrNoReader, false},
		{nil, "Alpha", ErrNoReader, false},
		{readers, "", ErrNoCard, true},
		{readers, "Alpha 00 01", ErrNoCard, false},
		{readers, "Alpha", ErrNoReader, true}, // which?
		{readers, "Gamma", ErrNoReader, true},
	} {
		_, err := pick(test.readers, test.want)
		if !errors.Is(err, test.kind) {
			t.Errorf("pick(%q) of %d: %v, want %v", test.want, len(test.readers), err, test.kind)
		}
		if test.lists && !(strings.Contains(err.Error(), `"Alpha 00 00"`) && strings.Contains(err.Error(), `"Alpha 00 01"`)) {
			t.Errorf("pick(%q) does not list the readers: %v", test.want, err)
		}
	}
}

func TestEveryCodeHasItsKind(t *testing.T) {
	for code, kind := range map[Code]error{
		noService:      ErrNoService,
		serviceStopped: ErrNoService,
		noReaders:      ErrNoReader,
		unknownReader:  ErrNoReader,
		noSmartcard:    ErrNoCard,
		removedCard:    ErrCardRemoved,
		readerGone:     ErrCardRemoved,
		resetCard:      ErrReset,
	} {
		if err := failure(long(code)); !errors.Is(err, kind) {
			t.Errorf("%08X is %v, want %v", uint32(code), err, kind)
		}
	}
	if err := failure(0); err != nil {
		t.Errorf("success is %v", err)
	}
	var code Code
	if err := failure(long(sharing)); !errors.As(err, &code) || !strings.Contains(err.Error(), "8010000B") {
		t.Errorf("sharing violation is %v, want a Code that says 8010000B", err)
	}
}

// A mute card is none that vpcd's reader can have: the flags are those of pcsclite.h.
func TestTheStateOfAReaderIsReadFromItsFlags(t *testing.T) {
	for flags, want := range map[dword]State{
		0x10: Empty, 0x20: Present, 0x120: InUse, 0x1A0: Exclusive, 0x220: Mute, 0x320: Mute, 0x10022: Present, 0x0C: Empty,
	} {
		if got := stateOf(flags); got != want {
			t.Errorf("%#x: %s, want %s", flags, got, want)
		}
	}
	_, err := pick([]Reader{{Name: "Alpha", State: Mute}}, "Alpha")
	if !errors.Is(err, ErrNoCard) || !strings.Contains(err.Error(), "right way round") {
		t.Errorf("pick a mute card: %v", err)
	}
}
