package conformance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/conformance"
	"github.com/simroot/simroot/iotsafe"
)

var errGone = errors.New("the reader is gone")

// cardFunc is a card from a function.
type cardFunc func(ctx context.Context, command []byte) ([]byte, error)

func (f cardFunc) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	return f(ctx, command)
}

func TestACardWithoutTheAppletIsNotTested(t *testing.T) {
	refuses := cardFunc(func(context.Context, []byte) ([]byte, error) { return []byte{0x6A, 0x82}, nil })
	if _, err := conformance.Run(t.Context(), refuses, conformance.Options{}); !errors.Is(err, iotsafe.ErrNoApplet) {
		t.Errorf("%v: want ErrNoApplet", err)
	}
	s := newSIM(t, newApplet(fullState(t)))
	if _, err := conformance.Run(t.Context(), s, conformance.Options{AID: []byte{0xF0, 1, 2, 3, 4}}); !errors.Is(err, iotsafe.ErrNoApplet) {
		t.Errorf("%v: want ErrNoApplet for another AID", err)
	}
}

// A reader that fails is not a fault of the card: the tests end, and what was found stays.
func TestAFailingReaderEndsTheTests(t *testing.T) {
	s, sent := newSIM(t, newApplet(fullState(t))), 0
	breaks := cardFunc(func(ctx context.Context, command []byte) ([]byte, error) {
		if sent++; sent > 200 {
			return nil, errGone
		}
		return s.Transmit(ctx, command)
	})
	report, err := conformance.Run(t.Context(), breaks, conformance.Options{})
	if !errors.Is(err, errGone) || len(report.Results) == 0 || report.Count(conformance.Failed) > 0 {
		t.Errorf("%v, after %d tests with %d failures", err, len(report.Results), report.Count(conformance.Failed))
	}
}

func TestAnEndedContextEndsTheTests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := conformance.Options{Progress: func(_ conformance.Test, at, _ int) {
		if at == 5 {
			cancel()
		}
	}}
	report, err := conformance.Run(ctx, newSIM(t, newApplet(fullState(t))), o)
	if !errors.Is(err, context.Canceled) || len(report.Results) != 5 {
		t.Errorf("%v, after %d tests", err, len(report.Results))
	}
}

func TestTestsAreChosenByName(t *testing.T) {
	o, seen := fullOptions(), 0
	o.Only = regexp.MustCompile(`^3\.6-`)
	o.Progress = func(test conformance.Test, at, total int) {
		if at != seen || total != 5 || !strings.HasPrefix(test.ID, "3.6-") {
			t.Errorf("progress %d of %d at %s", at, total, test.ID)
		}
		seen++
	}
	report := passes(t, newSIM(t, newApplet(fullState(t))), o)
	if len(report.Results) != 5 || seen != 5 {
		t.Errorf("%d results, progress told %d times", len(report.Results), seen)
	}
}

func TestASecretNeedsBothItsParts(t *testing.T) {
	for _, o := range []conformance.Options{{SecretID: secretID}, {Secret: []byte(secret)}} {
		if _, err := conformance.Run(t.Context(), newSIM(t, newApplet(fullState(t))), o); err == nil {
			t.Error("half a secret was taken")
		}
	}
}

// The value of the known secret is for computing only.
func TestTheKnownSecretIsNeverSent(t *testing.T) {
	s := newSIM(t, newApplet(fullState(t)))
	s.alter = func(command []byte, pass func([]byte) []byte) []byte {
		if bytes.Contains(command, []byte(secret)) {
			t.Errorf("the secret is in % X", command[:5])
		}
		return pass(command)
	}
	passes(t, s, fullOptions())
}

// lockable counts what comes outside of a turn.
type lockable struct {
	*sim
	card.Turn
	held     bool
	outside  int
	commands int
}

func (l *lockable) Lock(ctx context.Context) (func(), error) {
	unlock, err := l.Turn.Lock(ctx)
	if err != nil {
		return nil, err
	}
	l.held = true
	return func() { l.held = false; unlock() }, nil
}

func (l *lockable) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if l.commands++; !l.held {
		l.outside++
	}
	return l.sim.Transmit(ctx, command)
}

func TestATestHasTheCardForItself(t *testing.T) {
	l := &lockable{sim: newSIM(t, newApplet(fullState(t))), Turn: card.NewTurn()}
	if _, err := conformance.Run(t.Context(), l, fullOptions()); err != nil {
		t.Fatal(err)
	}
	if l.outside > 0 || l.held {
		t.Errorf("%d of %d commands outside of a turn; still held: %v", l.outside, l.commands, l.held)
	}
}

func TestChannelsAreGivenBack(t *testing.T) {
	s := newSIM(t, newApplet(fullState(t)))
	passes(t, s, fullOptions())
	for want := 1; want <= 3; want++ {
		if ch, err := card.OpenChannel(t.Context(), s); err != nil || ch != want {
			t.Fatalf("channel %d, %v: want %d, as on a card that nobody uses", ch, err, want)
		}
	}
}

// A card that gives no logical channels is tested on the basic one.
func TestACardWithoutChannelsIsTestedToo(t *testing.T) {
	s := newSIM(t, newApplet(fullState(t)))
	s.alter = func(command []byte, pass func([]byte) []byte) []byte {
		if command[1] == 0x70 {
			return []byte{0x6D, 0x00}
		}
		return pass(command)
	}
	report := passes(t, s, fullOptions())
	for _, r := range report.Results {
		if r.ID == "1.2-two" && (r.Outcome != conformance.Skipped || r.Reason == "") {
			t.Errorf("%s %s", r.Outcome, r.Reason)
		}
	}
}

// Under T=0 a command has either data or Le, and one with neither has P3 = 00.
func TestTheRightCardPassesUnderT0(t *testing.T) {
	s := newSIM(t, newApplet(fullState(t)))
	s.alter = func(command []byte, pass func([]byte) []byte) []byte {
		switch n := len(command); {
		case n == 4:
			command = append(command[:4:4], 0)
		case n > 5 && n == 6+int(command[4]):
			command = command[:n-1]
		}
		return pass(command)
	}
	passes(t, s, fullOptions())
}

// A card whose transport refuses what is no command is not to blame.
func TestWhatATransportDoesNotCarryIsSkipped(t *testing.T) {
	s := newSIM(t, newApplet(fullState(t)))
	strict := cardFunc(func(ctx context.Context, command []byte) ([]byte, error) {
		if n := len(command); n > 5 && n != 5+int(command[4]) && n != 6+int(command[4]) {
			return nil, errors.New("no command")
		}
		return s.Transmit(ctx, command)
	})
	report, err := conformance.Run(t.Context(), strict, conformance.Options{Only: regexp.MustCompile("^3.18-lc$")})
	if err != nil || report.Count(conformance.Skipped) != 1 {
		t.Errorf("%v, %+v", err, report.Results)
	}
}

// failing is the report of a card with one fault.
func failing(t *testing.T) conformance.Report {
	t.Helper()
	o := fullOptions()
	o.Only = regexp.MustCompile(`^3\.5-unknown-id$|^3\.6-|^3\.3-type2$`)
	report, err := conformance.Run(t.Context(), newWrong(t, answers(getData, 0x6A82, 0x6A88)), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAReportForPeopleTellsWhatWasSaid(t *testing.T) {
	var b strings.Builder
	if err := failing(t).WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"IoT SAFE applet A0000005590010, Type I\n",
		"FAIL  3.5-unknown-id", "GET DATA (P1 C1, P2 00) was answered 6A88, want 6A82 (chapter 3.5",
		"> 81CBC100038401EE\n        < 6A88\n",
		"ok    3.6-lengths", "skip  3.3-type2", "the applet offers signatures",
		"\n7 tests: 5 passed, 1 failed, 1 skipped\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}

func TestAReportInJSONCanBeReadBack(t *testing.T) {
	report := failing(t)
	b, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var back conformance.Report
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || !bytes.Equal(b, again) || !bytes.Contains(b, []byte(`"answer":"6A88"`)) {
		t.Errorf("%v\n%s\n%s", err, b, again)
	}
}

func TestAReportInJUnitXML(t *testing.T) {
	var b bytes.Buffer
	if err := failing(t).WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Cases    []struct {
			Class   string  `xml:"classname,attr"`
			Name    string  `xml:"name,attr"`
			Failure *string `xml:"failure"`
			Skipped *string `xml:"skipped"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(b.Bytes(), &suite); err != nil {
		t.Fatal(err)
	}
	if suite.Tests != 7 || suite.Failures != 1 || suite.Skipped != 1 || len(suite.Cases) != 7 {
		t.Errorf("%+v", suite)
	}
	for _, c := range suite.Cases {
		failed := strings.HasPrefix(c.Name, "3.5-unknown-id ")
		if failed != (c.Failure != nil) || failed && !strings.Contains(*c.Failure, "< 6A88") || c.Class == "" {
			t.Errorf("%+v", c)
		}
	}
}
