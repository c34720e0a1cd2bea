package trace

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/card"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var errGone = errors.New("the card\nis gone")

// answers is a card that gives the same answers in order. "" is a failure.
type answers struct {
	t    testing.TB
	give []string
	wait time.Duration
}

func (a *answers) Transmit(ctx context.Context, _ []byte) ([]byte, error) {
	if a.wait > 0 {
		select {
		case <-time.After(a.wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if len(a.give) == 0 || a.give[0] == "" {
		return nil, errGone
	}
	next := a.give[0]
	a.give = a.give[1:]
	return unhex(a.t, next), nil
}

func (a *answers) Close() error { return nil }

// recorded runs a session, written as command, answer, command, …, and returns what is
// written of it, without times.
func recorded(t testing.TB, session ...string) []string {
	t.Helper()
	var written bytes.Buffer
	a := &answers{t: t}
	c := Record(a, &written)
	for i := 0; i+1 < len(session); i += 2 {
		a.give = []string{session[i+1]}
		_, err := c.Transmit(t.Context(), unhex(t, session[i]))
		if (err != nil) != (session[i+1] == "") {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(written.String()), "\n")
	if lines[0] != heading {
		t.Errorf("the first line is %q", lines[0])
	}
	for i, line := range lines {
		_, lines[i], _ = strings.Cut(line, " ")
	}
	return lines[1:]
}

func x(bytes int) string { return strings.Repeat("XX", bytes) }

func TestSecretsAreHiddenAndNothingElseIs(t *testing.T) {
	secret, other := strings.Repeat("5E", 16), strings.Repeat("A1", 8)
	// Pairs of what is sent and what is written.
	for name, c := range map[string][]string{
		"SELECT":                      {"01A4040007A0000005590010", "", "6F009000", ""},
		"random bytes":                {"8184000010", "", secret + "9000", x(16) + "9000"},
		"a shared secret":             {"8146000006 840101 850102", "", "6985", ""},
		"a shared secret, the answer": {"8146000006840101850102", "", secret + "9000", x(16) + "9000"},
		"PRF with a stored key":       {"814801000B 860101 D203414243 D30110", "", secret + "9000", x(16) + "9000"},
		"PRF with a given secret": {"814800001D D110" + secret + "D203414243 D30110 860101", "814800001DD110" + x(16) + "D203414243D30110860101",
			secret + "9000", x(16) + "9000"},
		"PRF with a shared secret": {"8148020015 860101 D408" + other + "D203414243 D30110", "8148020015860101D408" + x(8) + "D203414243D30110",
			secret + "9000", x(16) + "9000"},
		"PRF, malformed":             {"8148000004 D1105E5E", "8148000004" + x(4), "6A80", ""},
		"HKDF":                       {"814A000020 D110" + secret + "D508" + other + "91020001", "814A000020D110" + x(16) + "D508" + other + "91020001", secret + "9000", x(16) + "9000"},
		"a signature":                {"812B800104 9E020102", "", "33 02 0102 9000", ""},
		"signature INIT":             {"812A00010D 840101 A10103 91020001 920104", "", "9000", ""},
		"an operation of that byte":  {"002A808604 01020304", "002A808604" + x(4), other + "9000", x(8) + "9000"},
		"VERIFY PIN":                 {"0020000108 31323334FFFFFFFF", "0020000108" + x(8), "63C2", ""},
		"CHANGE PIN":                 {"0024000110 31323334FFFFFFFF35363738FFFFFFFF", "0024000110" + x(16), "9000", ""},
		"UNBLOCK PIN":                {"002C000110 31323334FFFFFFFF35363738FFFFFFFF", "002C000110" + x(16), "9000", ""},
		"PUT PUBLIC KEY INIT":        {"8124000003 850101", "", "9000", ""},
		"PUT PUBLIC KEY UPDATE":      {"81D8800004 34020102", "", "9000", ""},
		"PUT KEY":                    {"80D8000113 30 88 10" + secret, "80D8000113" + x(19), "9000", ""},
		"AUTHENTICATE":               {"0088008108 " + other, "0088008108" + x(8), other + "9000", x(8) + "9000"},
		"READ FILE":                  {"81B0000003 830101 00", "", "3082 9000", ""},
		"object list":                {"81CB010000", "", "C103840101 9000", ""},
		"a maker's own instruction":  {"8158000108" + other + "00", "8158000108" + x(8) + "00", other + "9000", x(8) + "9000"},
		"ENCRYPT":                    {"815D800108" + other, "815D800108" + x(8), secret + "9000", x(16) + "9000"},
		"DECRYPT":                    {"815F800110" + secret, "815F800110" + x(16), other + "9000", x(8) + "9000"},
		"nothing to hide in headers": {"80580001", "", "6D00", ""},
		"STORE DATA in the clear":    {"80E2800008" + other, "80E2800008" + x(8), "9000", ""},
		"UPDATE BINARY":              {"00D6000008" + other, "00D6000008" + x(8), "9000", ""},
		"what is no command":         {"80580001FF" + other, "80580001" + x(9), "6700", ""},
	} {
		t.Run(name, func(t *testing.T) {
			command, answer := strings.ReplaceAll(c[0], " ", ""), strings.ReplaceAll(c[2], " ", "")
			want := []string{c[1], c[3]}
			if want[0] == "" {
				want[0] = command
			}
			if want[1] == "" {
				want[1] = answer
			}
			got := recorded(t, command, answer)
			if got[0] != "> "+want[0] || got[1] != "< "+want[1] {
				t.Errorf("written: %q\nwant: %q", got, want)
			}
		})
	}
}

func TestAnAnswerThatIsFetchedIsHiddenLikeOneThatComesAtOnce(t *testing.T) {
	secret := strings.Repeat("5E", 8)
	got := recorded(t,
		"8146000006840101850102", "6108",
		"8284000004", "5E5E5E5E9000", // another channel, between
		"01C0000008", secret+"9000",
		"81CD000003850102", "6108",
		"01C0000008", secret+"9000",
	)
	if got[5] != "< "+x(8)+"9000" || got[9] != "< "+secret+"9000" {
		t.Errorf("%q", got)
	}
}

func TestOnlyFilesWithoutSecretsAreShown(t *testing.T) {
	got := recorded(t,
		"00A4000C022FE2", "9000", "00B000000A", "981032547698103254769000",
		"00A4000C026F08", "9000", "00B0000008", "5E5E5E5E5E5E5E5E9000",
		"00A4080C022FE2", "9000", "00B000000A", "981032547698103254769000",
		"00B0880008", "5E5E5E5E5E5E5E5E9000", // by short identifier
		"02B0000008", "5E5E5E5E5E5E5E5E9000", // on a channel where nothing is selected
	)
	for at, shown := range map[int]bool{3: true, 7: false, 11: true, 13: false, 15: false} {
		if strings.Contains(got[at], "X") == shown {
			t.Errorf("line %d: %q", at, got[at])
		}
	}
}

func TestASecureChannelIsShownAsFarAsItIsEnciphered(t *testing.T) {
	data := strings.Repeat("AB", 16)
	session := func(level, accepted string) []string {
		return recorded(t,
			"8050300008"+data[:16], data+data[:26]+"9000",
			"8482"+level+"0010"+data, accepted,
			"84E2800010"+data, data+"9000",
		)[4:]
	}
	for _, c := range []struct{ level, accepted, command, answer string }{
		{"33", "9000", data, data},
		{"13", "9000", data, x(16)},
		{"03", "9000", data, x(16)},
		{"01", "9000", x(16), x(16)},
		{"33", "6982", x(16), x(16)}, // refused: no session
	} {
		got := session(c.level, c.accepted)
		if got[0] != "> 84E2800010"+c.command || got[1] != "< "+c.answer+"9000" {
			t.Errorf("level %s: %q", c.level, got)
		}
	}
	// A SELECT ends the session.
	got := recorded(t, "8482330010"+data, "9000", "00A4040002A000", "9000", "84E2800010"+data, "6985")
	if got[4] != "> 84E2800010"+x(16) {
		t.Errorf("%q", got)
	}
}

func TestTimesAndFailuresAreRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written bytes.Buffer
		c := Record(&answers{t: t, give: []string{"9000"}, wait: 1500 * time.Millisecond}, &written)
		for _, want := range []error{nil, errGone} {
			if _, err := c.Transmit(t.Context(), unhex(t, "0070800100")); !errors.Is(err, want) {
				t.Error(err)
			}
		}
		want := heading + "\n0.000000 > 0070800100\n1.500000 < 9000\n1.500000 > 0070800100\n3.000000 ! failed: the card is gone\n"
		if written.String() != want {
			t.Errorf("%s", written.String())
		}
	})
}

// full is a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestATraceThatCannotBeWrittenDoesNotDisturbTheSession(t *testing.T) {
	c := Record(&answers{t: t, give: []string{"9000"}}, full{})
	if _, err := c.Transmit(t.Context(), unhex(t, "00700000")); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err == nil || !strings.Contains(err.Error(), "not complete") {
		t.Errorf("%v: want to be told", err)
	}
}

func TestATraceInAFileIsForItsOwnerOnlyAndClosedWithTheCard(t *testing.T) {
	name := filepath.Join(t.TempDir(), "session.trace")
	for range 2 { // the second replaces the first
		c, err := RecordFile(&answers{t: t, give: []string{"9000"}}, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Transmit(t.Context(), unhex(t, "00708001")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if r, err := Open(name); err != nil || len(r.entries) != 2 {
		t.Error(err)
	}
	if _, err := RecordFile(&answers{}, t.TempDir()); err == nil {
		t.Error("a trace in place of a folder")
	}
}

// lockable is a card that several may use.
type lockable struct {
	answers
	card.Turn
}

func TestARecordedCardCanBeLockedIfTheCardCan(t *testing.T) {
	if _, ok := Record(&answers{}, full{}).(card.Locker); ok {
		t.Error("a lock of a card that has none")
	}
	turn := card.NewTurn()
	l, ok := Record(&lockable{Turn: turn}, full{}).(card.Locker)
	if !ok {
		t.Fatal("the lock is lost")
	}
	if _, err := l.Lock(t.Context()); err != nil || len(turn) != 1 {
		t.Error("the lock is not the card's")
	}
}

// save writes a trace to a file and returns its card URI.
func save(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "session.trace")
	if err := os.WriteFile(file, []byte(heading+"\n"+strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "trace:" + file
}

func TestARecordedSessionIsACard(t *testing.T) {
	c, err := card.Open(t.Context(), save(t,
		"0.1 > 0070000001", "0.2 < 019000", "# by hand", "",
		"0.3 > 8148000005D103XXXXXX", "0.4 < XXXXXXXX9000",
		"0.5 > 01A4040007A0000005590010", "0.6 ! failed: the modem did not answer",
	))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if ch, err := card.OpenChannel(t.Context(), c); err != nil || ch != 1 {
		t.Errorf("%d, %v", ch, err)
	}
	answer, err := c.Transmit(t.Context(), unhex(t, "8148000005D103010203"))
	if err != nil || !bytes.Equal(answer, unhex(t, "000000009000")) {
		t.Errorf("%X, %v: want zeros for what is hidden", answer, err)
	}
	if err := card.Select(t.Context(), c, 1, unhex(t, "A0000005590010")); !errors.Is(err, ErrRecorded) || !strings.Contains(err.Error(), "did not answer") {
		t.Error(err)
	}
	if _, err := c.Transmit(t.Context(), unhex(t, "00708001")); !errors.Is(err, ErrDifferent) || !strings.Contains(err.Error(), "no more than 3") {
		t.Error(err)
	}
}

func TestADifferentSessionIsToldWithBothCommandsAndNoSecret(t *testing.T) {
	c, err := card.Open(t.Context(), save(t, "0.1 > 0070000001", "0.2 < 019000"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Transmit(t.Context(), unhex(t, "0020000108 31323334FFFFFFFF"))
	if !errors.Is(err, ErrDifferent) || !strings.Contains(err.Error(), "expected 0070000001, got 0020000108XXXXXXXXXXXXXXXX") {
		t.Error(err)
	}
	// It waits for the right one.
	if answer, err := c.Transmit(t.Context(), unhex(t, "0070000001")); err != nil || len(answer) != 3 {
		t.Errorf("%X, %v", answer, err)
	}
}

func TestWhatIsNoTraceIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                                           "",
		"0.1 > 00700000\n":                           "line 1",
		heading + "\n0.1 < 9000":                     "line 2",
		heading + "\n\n0.1 > 0070":                   "line 3",
		heading + "\n0.1 > 0070000":                  "half a byte",
		heading + "\n0.1 > 007000XY":                 "no byte",
		heading + "\nx > 00700000":                   "seconds",
		heading + "\nNaN > 00700000":                 "seconds",
		heading + "\n0.1 = 00700000":                 "one of the marks",
		heading + "\n0.1 > 00700000\n0.2 > 00700000": "line 3",
		heading + "\n0.1 > 00700000":                 "", // cut off: what is whole counts
	} {
		_, err := Read(strings.NewReader(text))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := card.Open(t.Context(), "trace:"+filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// A recorded session can be played back as it went, whatever was sent and answered.
func FuzzRecordAndReplay(f *testing.F) {
	f.Add(unhex(f, "8148000005D103010203"), unhex(f, "0102039000"))
	f.Add(unhex(f, "0084000004"), unhex(f, "010203046104"))
	f.Add(unhex(f, "84823300100102030405060708010203040506070800"), unhex(f, "9000"))
	f.Fuzz(func(t *testing.T, command, answer []byte) {
		if len(command) < 4 || len(answer) < 2 || len(answer) > 300 || len(command) > 300 {
			return
		}
		var written bytes.Buffer
		c := Record(&answers{t: t, give: []string{hex.EncodeToString(answer)}}, &written)
		if _, err := c.Transmit(t.Context(), command); err != nil {
			t.Fatal(err)
		}
		entries, err := Read(&written)
		if err != nil || len(entries) != 2 {
			t.Fatalf("%d entries, %v", len(entries), err)
		}
		got, err := NewReplay(entries).Transmit(t.Context(), command)
		if err != nil || len(got) != len(answer) || !bytes.Equal(got[len(got)-2:], answer[len(answer)-2:]) {
			t.Errorf("% X was answered % X and is answered % X, %v", command, answer, got, err)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(heading + "\n0.1 > 0070000001\n0.2 < 01XX9000\n0.3 > 00XX0000\n0.4 ! gone\n")
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		for i, e := range entries {
			if (e.Kind == Command) != (i%2 == 0) {
				t.Fatalf("entry %d is a %c", i, e.Kind)
			}
			if b, _, err := parseBytes(e.Hex()); e.Kind != Failure && (err != nil || !bytes.Equal(b, e.Bytes)) {
				t.Fatalf("entry %d: %s", i, e.Hex())
			}
		}
	})
}
