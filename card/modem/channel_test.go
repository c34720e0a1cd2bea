package modem

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

var (
	applet = []byte{0xA0, 0, 0, 5, 0x59, 0, 0x10}
	absent = []byte{0xA0, 0, 0, 2, 0x48, 4, 0}
)

const (
	atOpen   = `AT+CCHO="A0000005590010"`
	atAbsent = `AT+CCHO="A0000002480400"`
)

func TestChannelsAndHandlesAreTranslated(t *testing.T) {
	for name, c := range map[string]struct{ opened, handle string }{
		"a handle like a channel":   {"+CCHO: 1", "1"},
		"larger than any channel":   {"+CCHO: 173", "173"},
		"in quotes":                 {`+CCHO: "7"`, "7"},
		"alone on its line":         {"7", "7"},
		"in sixteen digits":         {"+CCHO: 000000000385a7cf", "000000000385a7cf"},
		"with what SELECT answered": {`+CCHO: 2,"6F009000"`, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			sign := `AT+CGLA=` + c.handle + `,12,"802B80010101"`
			rest := `AT+CGLA=` + c.handle + `,10,"00C0000002"`
			shut := "AT+CCHC=" + c.handle
			m := &scripted{script: sessions(map[string][]string{
				atOpen: {says("+CREG: 5", c.opened)}, sign: {says(`+CGLA: 4,"6102"`)}, rest: {says("+CGLA: 8,AABB9000")}, shut: {says("+CCHC: 1")},
			})}
			sim := m.open(t, Options{})
			ch, err := card.OpenChannel(t.Context(), sim)
			if err != nil || ch != 1 {
				t.Fatalf("channel %d, %v", ch, err)
			}
			if err := card.Select(t.Context(), sim, ch, applet); err != nil {
				t.Fatal(err)
			}
			data, err := card.Do(t.Context(), sim, apdu.Command{CLA: 0x81, INS: 0x2B, P1: 0x80, P2: 1, Data: []byte{1}})
			if err != nil || len(data) != 2 {
				t.Errorf("%X, %v", data, err)
			}
			if err := card.CloseChannel(t.Context(), sim, ch); err != nil {
				t.Error(err)
			}
			if seen := m.commands(); !slices.Equal(seen, []string{atOpen, sign, rest, shut}) {
				t.Errorf("the modem was told %q", seen)
			}
		})
	}
}

func TestEachChannelHasItsOwnHandle(t *testing.T) {
	m := &scripted{script: sessions(map[string][]string{
		atOpen:                        {says("+CCHO: 9"), says("+CCHO: 4")},
		`AT+CGLA=9,10,"8084000001"`:   {says(`+CGLA: 6,"AA9000"`)},
		`AT+CGLA=4,10,"8084000001"`:   {says(`+CGLA: 6,"BB9000"`)},
		`AT+CGLA=9,12,"84E200000101"`: {says(`+CGLA: 4,"9000"`)},
		`AT+CGLA=4,12,"84E200000102"`: {says(`+CGLA: 4,"9000"`)},
		`AT+CCHC=9`:                   {ok}, `AT+CCHC=4`: {ok},
	})}
	sim := m.open(t, Options{})
	for _, want := range []int{1, 2, 3, 4, 5} {
		if ch, err := card.OpenChannel(t.Context(), sim); err != nil || ch != want {
			t.Fatalf("channel %d, %v: want %d", ch, err, want)
		}
	}
	for _, ch := range []int{1, 5} {
		if err := card.Select(t.Context(), sim, ch, applet); err != nil {
			t.Fatal(err)
		}
	}
	gets(t, sim, "8184000001", "AA9000")
	gets(t, sim, "C184000001", "BB9000") // channel 5
	gets(t, sim, "86E200000101", "6985") // channel 2: nothing selected
	gets(t, sim, "85E200000101", "9000") // secure messaging stays
	gets(t, sim, "E1E200000102", "9000") // also in the other form of the class
	gets(t, sim, "C284000001", "6881")   // channel 6 is not open
	gets(t, sim, "0070800600", "6881")   // so it cannot be closed
	gets(t, sim, "0170800100", "9000")   // the second form in which clients close
	gets(t, sim, "8184000001", "6881")   // closed
	gets(t, sim, "0070000001", "019000") // free again
	gets(t, sim, "8184000001", "6985")   // and empty
	gets(t, sim, "0070010001", "6A86")
}

func TestSelectingAnewGivesTheOldHandleBackFirst(t *testing.T) {
	m := &scripted{script: sessions(map[string][]string{
		atOpen: {says("+CCHO: 1"), says("+CCHO: 2")}, "AT+CCHC=1": {ok}, "AT+CCHC=2": {ok},
	})}
	sim := m.open(t, Options{})
	ch, err := card.OpenChannel(t.Context(), sim)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := card.Select(t.Context(), sim, ch, applet); err != nil {
			t.Fatal(err)
		}
	}
	if seen := m.commands(); !slices.Equal(seen, []string{atOpen, "AT+CCHC=1", atOpen}) {
		t.Errorf("the modem was told %q", seen)
	}
	if err := sim.Close(); err != nil {
		t.Fatal(err)
	}
	if seen := m.commands(); !slices.Equal(seen, []string{"AT+CCHC=2"}) {
		t.Errorf("at the end the modem was told %q", seen)
	}
}

func TestAnApplicationThatIsNotThereIsTheCardsRefusal(t *testing.T) {
	for _, answer := range []string{"\r\n+CME ERROR: 22\r\n", "\r\n+CME ERROR: not found\r\n", "\r\n+CME ERROR: 100\r\n", "\r\nERROR\r\n"} {
		m := &scripted{script: sessions(map[string][]string{atAbsent: {answer}, atOpen: {says("+CCHO: 3")}, "AT+CCHC=3": {ok}})}
		sim := m.open(t, Options{})
		ch, err := card.OpenChannel(t.Context(), sim)
		if err != nil {
			t.Fatal(err)
		}
		if err := card.Select(t.Context(), sim, ch, absent); !errors.Is(err, apdu.NotFound) {
			t.Errorf("%q: %v", answer, err)
		}
		if err := card.Select(t.Context(), sim, ch, applet); err != nil {
			t.Errorf("%q, then the right one: %v", answer, err)
		}
	}
	m := &scripted{script: sessions(map[string][]string{atAbsent: {"\r\n+CME ERROR: 13\r\n"}})}
	sim := m.open(t, Options{})
	gets(t, sim, "0070000001", "019000")
	fails(t, sim, "01A4040007A0000002480400", ErrSIMFailure)
	m.script[atAbsent] = []string{"\r\n+CME ERROR: 3\r\n"}
	if _, err := transmit(t.Context(), sim, "01A4040007A0000002480400"); !errors.Is(err, CMEError(3)) || !strings.Contains(err.Error(), "leftover=close") {
		t.Errorf("%v: want to be told how to free channels", err)
	}
	m.script[atAbsent] = []string{says("+CCHO: none")}
	fails(t, sim, "01A4040007A0000002480400", ErrTorn)
}

func TestTheBasicChannelGoesOverCSIMWhereItExists(t *testing.T) {
	m := &scripted{script: map[string][]string{
		"AT+CCHO=?": {ok}, "AT+CGLA=?": {ok}, `AT+CSIM=14,"00A4000C022FE2"`: {says(`+CSIM: 4,"9000"`)},
	}}
	gets(t, m.open(t, Options{Mode: CGLA}), "00A4000C022FE2", "9000")
}

func TestTheICCIDCanBeReadWithoutCSIM(t *testing.T) {
	m := &scripted{script: sessions(map[string][]string{
		"AT+CRSM=176,12258,0,0,10": {says(`+CRSM: 144,0,"98103254769810325476"`), says("+CRSM: 106,130"), says("+CRSM: 144")},
	})}
	sim := m.open(t, Options{})
	n, err := card.ReadICCID(t.Context(), sim, 0)
	if err != nil || n != "89012345678901234567" {
		t.Errorf("%q, %v", n, err)
	}
	gets(t, sim, "00B000000A", "6A82")
	fails(t, sim, "00B000000A", ErrTorn)
	gets(t, sim, "00F2000000", "6D00") // there is no way for anything else
}
