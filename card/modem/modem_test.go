package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

const (
	random    = "0084000004" // GET RANDOM
	atRandom  = `AT+CSIM=10,"0084000004"`
	selecting = "01A4040007A0000005590010"
)

var atSelecting = fmt.Sprintf(`AT+CSIM=%d,"%s"`, len(selecting), selecting)

func TestEveryFormOfAnAnswerIsUnderstood(t *testing.T) {
	const whole = "AABBCCDD9000"
	for name, answer := range map[string]string{
		"as specified":         "\r\n+CSIM: 12,\"AABBCCDD9000\"\r\n\r\nOK\r\n",
		"without quotes":       "\r\n+CSIM: 12,AABBCCDD9000\r\n\r\nOK\r\n",
		"without blanks":       "\r\n+CSIM:12,\"AABBCCDD9000\"\r\n\r\nOK\r\n",
		"with blanks":          "\r\n+CSIM: 12 , \"AABBCCDD9000\" \r\n\r\nOK\r\n",
		"in small letters":     "\r\n+CSIM: 12,\"aabbccdd9000\"\r\n\r\nOK\r\n",
		"one line end each":    "+CSIM: 12,\"AABBCCDD9000\"\nOK\n",
		"after its echo":       atRandom + "\r\r\n+CSIM: 12,\"AABBCCDD9000\"\r\n\r\nOK\r\n",
		"among other lines":    "\r\n+CREG: 1\r\n\r\n+CSIM: 12,\"AABBCCDD9000\"\r\n\r\nRING\r\n\r\n+CUSD: 0,\"9000\",15\r\n\r\nOK\r\n",
		"broken into lines":    "\r\n+CSIM: 12,\"AABBCC\r\nDD9000\"\r\n\r\nOK\r\n",
		"broken by another":    "\r\n+CSIM: 12,\"AABBCC\r\n+CREG: 1\r\nDD9000\"\r\n\r\nOK\r\n",
		"the rest on its line": "\r\n+CSIM: 12,\r\n\"AABBCCDD9000\"\r\n\r\nOK\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			m := &scripted{script: map[string][]string{atRandom: {answer}}}
			gets(t, m.open(t, Options{}), random, whole)
		})
	}
}

func TestEchoDoesNoHarmWhetherItCanBeSwitchedOffOrNot(t *testing.T) {
	m := &scripted{echo: true, script: map[string][]string{
		"ATE0": {"\r\nERROR\r\n"}, atRandom: {says(`+CSIM: 12,"AABBCCDD9000"`)},
	}}
	gets(t, m.open(t, Options{}), random, "AABBCCDD9000")
}

func TestOnlyTheLastTwoBytesAreAStatusWord(t *testing.T) {
	for _, answer := range []string{"61109000", "900090009000", "6C0461FF9000", "90006104"} {
		m := &scripted{script: map[string][]string{atRandom: {says(fmt.Sprintf(`+CSIM: %d,"%s"`, len(answer), answer))}}}
		gets(t, m.open(t, Options{}), random, answer)
	}
}

func TestLongAnswersComeThrough(t *testing.T) {
	for _, n := range []int{255, 256, 259, 1024} {
		answer := strings.Repeat("AB", n) + "9000"
		m := &scripted{script: map[string][]string{atRandom: {says(fmt.Sprintf(`+CSIM: %d,"%s"`, len(answer), answer))}}}
		gets(t, m.open(t, Options{}), random, answer)
	}
}

func TestAnAnswerThatIsNotWholeIsNoAnswer(t *testing.T) {
	for name, lines := range map[string]string{
		"cut":                  `+CSIM: 12,"AABBCC"`,
		"cut, length too":      `+CSIM: 8,"9000AABB"`,
		"too long":             `+CSIM: 4,"AABB9000"`,
		"half a byte":          `+CSIM: 5,"A9000"`,
		"nothing":              `+CSIM: 0,""`,
		"one byte":             `+CSIM: 2,"90"`,
		"no length":            `+CSIM: "9000"`,
		"not hexadecimal":      `+CSIM: 4,"90OO"`,
		"longer than any line": `+CSIM: 20004,"` + strings.Repeat("A", 20000) + `9000"`,
	} {
		t.Run(name, func(t *testing.T) {
			m := &scripted{script: map[string][]string{atRandom: {says(lines), says(`+CSIM: 4,"9000"`)}}}
			c := m.open(t, Options{})
			fails(t, c, random, ErrTorn)
			gets(t, c, random, "9000")
		})
	}
}

func TestABareOKIsSuccessOnlyWhereTheQuirksSaySo(t *testing.T) {
	script := func() map[string][]string {
		return map[string][]string{`AT+CSIM=12,"812A00010101"`: {ok}, `AT+CSIM=12,"814600010101"`: {ok}, `AT+CSIM=12,"812B00010101"`: {"\r\nERROR\r\n"}}
	}
	c := (&scripted{script: script()}).open(t, Options{})
	fails(t, c, "812A00010101", ErrBareOK)

	c = (&scripted{script: script()}).open(t, Options{Model: "m33mu"})
	gets(t, c, "812A00010101", "9000")
	fails(t, c, "814600010101", ErrBareOK) // a shared secret cannot be missing
	gets(t, c, "812B00010101", "6F00")
	gets(t, c, "0070000001", "6D00")
}

func TestASelectThatTheModemLostIsRepeated(t *testing.T) {
	lost := "\r\n+CME ERROR: 0\r\n"
	synctest.Test(t, func(t *testing.T) {
		m := &scripted{script: map[string][]string{
			atSelecting: {lost, lost, says(`+CSIM: 4,"9000"`)},
			atRandom:    {lost, says(`+CSIM: 4,"9000"`)},
		}}
		c := m.open(t, Options{})
		gets(t, c, selecting, "9000")
		if seen := m.commands(); len(seen) != 3 {
			t.Errorf("it took %v", seen)
		}
		// Any other command may have been carried out.
		fails(t, c, random, CMEError(0))
		if seen := m.commands(); len(seen) != 1 {
			t.Errorf("it took %v", seen)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		m := &scripted{script: map[string][]string{atSelecting: {lost}}}
		c := m.open(t, Options{})
		fails(t, c, selecting, CMEError(0))
		if seen := m.commands(); len(seen) != 4 {
			t.Errorf("it took %v", seen)
		}
	})
}

func TestABusySIMIsWaitedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := "\r\n+CME ERROR: 14\r\n"
		m := &scripted{script: map[string][]string{atRandom: {busy, busy, busy, says(`+CSIM: 4,"9000"`)}, atSelecting: {busy}}}
		c := m.open(t, Options{})
		gets(t, c, random, "9000")
		fails(t, c, selecting, ErrBusy)

		ctx, cancel := context.WithTimeout(t.Context(), retryPause)
		defer cancel()
		if _, err := transmit(ctx, c, selecting); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v: want the end of the context", err)
		}
	})
}

func TestASIMThatCannotBeUsedIsToldWithWhatToDo(t *testing.T) {
	for answer, want := range map[string]struct {
		err  error
		text string
	}{
		"\r\n+CME ERROR: 10\r\n":               {ErrNoSIM, "insert one"},
		"\r\n+CME ERROR: SIM not inserted\r\n": {ErrNoSIM, "insert one"},
		"\r\n+CME ERROR: 13\r\n":               {ErrSIMFailure, "enable a profile"},
		"\r\n+CME ERROR: 14\r\n":               {ErrBusy, "try again"},
		"\r\n+CME ERROR: SIM busy\r\n":         {ErrBusy, "try again"},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := &scripted{script: map[string][]string{"AT+CPIN?": {answer}}}
			if _, err := m.tryOpen(t.Context(), Options{}); !errors.Is(err, want.err) || !strings.Contains(err.Error(), want.text) {
				t.Errorf("%q: %v", answer, err)
			}
		})
	}
	m := &scripted{script: map[string][]string{atRandom: {"\r\n+CME ERROR: 11\r\n"}, "AT+CPIN?": {says("+CPIN: SIM PIN")}}}
	c := m.open(t, Options{})
	if c.Info().PIN != "SIM PIN" {
		t.Errorf("%+v", c.Info())
	}
	fails(t, c, random, ErrPIN)
}

func TestWhatIsNoModemIsToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := &scripted{silent: true}
		if _, err := silent.tryOpen(t.Context(), Options{}); !errors.Is(err, ErrSilent) {
			t.Errorf("%v: want ErrSilent", err)
		}
	})
	m := &scripted{script: map[string][]string{"AT+CSIM=?": {"\r\nERROR\r\n"}}}
	if _, err := m.tryOpen(t.Context(), Options{}); !errors.Is(err, ErrNoAccess) {
		t.Errorf("%v: want ErrNoAccess", err)
	}
}

func TestAModemThatFindsOutTheSpeedMayMissTheFirstWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &scripted{script: map[string][]string{"AT": {"", "\r\n\xff\xfe\r\n", ok}, "ATQ0V1": {""}, atRandom: {says(`+CSIM: 4,"9000"`)}}}
		gets(t, m.open(t, Options{}), random, "9000")
	})
}

func TestAModemThatWasToldToBeSilentIsMadeToSpeak(t *testing.T) {
	for _, told := range []string{"", "0\r"} {
		synctest.Test(t, func(t *testing.T) {
			m := &scripted{script: map[string][]string{"AT": {told}, "ATQ0V1": {ok}, atRandom: {says(`+CSIM: 4,"9000"`)}}}
			gets(t, m.open(t, Options{}), random, "9000")
		})
	}
}

func TestTheWayToTheSIMIsFoundOut(t *testing.T) {
	const unknown = "\r\nERROR\r\n"
	status := `AT+CSIM=10,"81F2000000"`
	for name, c := range map[string]struct {
		script map[string][]string
		o      Options
		want   Mode
	}{
		"AT+CSIM alone":     {map[string][]string{}, Options{}, CSIM},
		"sessions alone":    {sessions(map[string][]string{}), Options{}, CGLA},
		"both":              {map[string][]string{"AT+CCHO=?": {ok}, "AT+CGLA=?": {ok}, status: {says(`+CSIM: 4,"6881"`)}}, Options{}, CSIM},
		"both, no channels": {map[string][]string{"AT+CCHO=?": {ok}, "AT+CGLA=?": {ok}, status: {unknown}}, Options{}, CGLA},
		"half told":         {map[string][]string{"AT+CSIM=?": {unknown}, "AT+CCHO=?": {ok}}, Options{}, CGLA},
		"by quirk":          {map[string][]string{"AT+CCHO=?": {ok}, "AT+CGLA=?": {ok}, status: {says(`+CSIM: 4,"6881"`)}, "AT+CGMI": {says("Quectel")}, "AT+CGMM": {says("EG25")}}, Options{}, CGLA},
		"as wanted":         {map[string][]string{"AT+CSIM=?": {unknown}}, Options{Mode: CGLA}, CGLA},
	} {
		t.Run(name, func(t *testing.T) {
			if got := (&scripted{script: c.script}).open(t, c.o).Info().Mode; got != c.want {
				t.Errorf("%v: want %v", got, c.want)
			}
		})
	}
}

func TestAModemThatCutsAnswersIsAskedForParts(t *testing.T) {
	m := &scripted{script: map[string][]string{
		"AT+CGMI":                           {says("+CGMI: \"Sequans\"")},
		`AT+CSIM=16,"81CBC30003830101"`:     {says(`+CSIM: 4,"6140"`)},
		`AT+CSIM=10,"01C0000032"`:           {says(`+CSIM: 104,"` + strings.Repeat("AA", 50) + `610E"`)},
		`AT+CSIM=10,"01C000000E"`:           {says(`+CSIM: 32,"` + strings.Repeat("BB", 14) + `9000"`)},
		`AT+CSIM=10,"01B0000032"`:           {says(`+CSIM: 4,"9000"`)},
		`AT+CSIM=8,"81CB0000"`:              {says(`+CSIM: 4,"6144"`)},
		`AT+CSIM=18,"81CBC3000383010132"`:   {"\r\nERROR\r\n"},
		`AT+CSIM=10,"0184000010"`:           {says(`+CSIM: 4,"9000"`)},
		`AT+CSIM=18,"81CBC3000383010100"`:   {"\r\nERROR\r\n"},
		`AT+CSIM=20,"81CBC300038301010000"`: {"\r\nERROR\r\n"},
	}}
	c := m.open(t, Options{})
	r, err := card.Exchange(t.Context(), c, apdu.Command{CLA: 0x81, INS: 0xCB, P1: 0xC3, Data: []byte{0x83, 1, 1}, Le: 256})
	if err != nil || len(r.Data) != 64 || r.SW != apdu.OK {
		t.Errorf("%d bytes, %v, %v", len(r.Data), r.SW, err)
	}
	gets(t, c, "01B0000000", "9000")
	gets(t, c, "81CB000044", "6144")
	gets(t, c, "0184000010", "9000")
}

func TestOurChannelsAreClosedAtTheEnd(t *testing.T) {
	m := &scripted{script: map[string][]string{
		`AT+CSIM=10,"0070000001"`: {says(`+CSIM: 6,"019000"`), says(`+CSIM: 6,"029000"`)},
		`AT+CSIM=8,"00708001"`:    {says(`+CSIM: 4,"9000"`)},
		`AT+CSIM=8,"00708002"`:    {says(`+CSIM: 4,"9000"`)},
	}}
	c := m.open(t, Options{})
	for range 2 {
		if _, err := card.OpenChannel(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := card.CloseChannel(t.Context(), c, 1); err != nil {
		t.Fatal(err)
	}
	m.commands()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if seen := m.commands(); len(seen) != 1 || seen[0] != `AT+CSIM=8,"00708002"` {
		t.Errorf("at the end the modem was told %q", seen)
	}
	if _, err := transmit(t.Context(), c, random); !errors.Is(err, ErrClosed) {
		t.Errorf("%v: want ErrClosed", err)
	}
}

func TestLeftoverChannelsAreClosedOnlyWhenAsked(t *testing.T) {
	for _, asked := range []bool{false, true} {
		m := &scripted{script: map[string][]string{}}
		c, err := m.tryOpen(t.Context(), Options{CloseLeftover: asked})
		if err != nil {
			t.Fatal(err)
		}
		var closed []string
		for _, command := range m.commands() {
			if strings.Contains(command, "007080") {
				closed = append(closed, command)
			}
		}
		if (len(closed) == 3) != asked || !asked && len(closed) > 0 {
			t.Errorf("asked %v: %q", asked, closed)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestErrorsNameTheInstructionAndNoData(t *testing.T) {
	m := &scripted{script: map[string][]string{`AT+CSIM=18,"81480000041122334"`: {}}}
	c := m.open(t, Options{})
	_, err := transmit(t.Context(), c, "8148000004DEADBEEF")
	if err == nil || !strings.Contains(err.Error(), "command 48") || strings.Contains(strings.ToUpper(err.Error()), "DEADBEEF") {
		t.Error(err)
	}
}
