package explain_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/explain"
)

// read is the steps of a text, each as a mark and its bytes.
func read(text string) (steps []string, err error) {
	for step, err := range explain.Read(strings.NewReader(text)) {
		if err != nil {
			return steps, err
		}
		steps = append(steps, fmt.Sprintf("%s%X", [...]string{explain.Either: "?", explain.Command: ">", explain.Answer: "<", explain.Failure: "!"}[step.Kind], step.Bytes))
	}
	return steps, nil
}

func TestConversationsAreReadAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]string{
		"9000":                                           "?9000",
		"00 a4 04 00\t07":                                "?00A4040007",
		"> 0070000001 < 01 9000":                         ">0070000001 <019000",
		"> 0070000001 (P3 00; [O] sends 01)":             ">0070000001",
		"# E1\n\n> 0070000001 # open\n< 019000\n":        ">0070000001 <019000",
		"[T*]  > 01B9000003\r\n 840104 00\r\n< 9000\r\n": ">01B900000384010400 <9000",
		"mode 01 > 014801 < 9000":                        ">014801 <9000",
		"  9000":                                         "?9000",
		"9000\n6985":                                     "?9000 ?6985",
		"0.000102 > 01A404 \n0.5 < XX9000\n1.25 ! it (the modem) <died>": ">01A404 <009000 !",
		"(nothing) # at all":       "",
		"> 00 (remark without end": ">00",
	} {
		got, err := read(text)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q is read as %v, %v, want %s", text, got, err, want)
		}
	}
}

func TestWhatCannotBeReadIsNamedByItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"> 00\n> 0x12":                   "line 2",
		"> 00\n\n<":                      "line 3: nothing behind \"<\"",
		"> 001":                          "line 1",
		"900":                            "line 1",
		strings.Repeat("00", 1<<18):      "line 1",
		"> 00" + strings.Repeat("(", 99): "",
	} {
		_, err := read(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: %v, want %q", text, err, want)
		}
	}
}

// Without marks, commands and answers are told apart by their form, but for bare data
// that has none.
func TestKnownCommandsAndAnswersNeedNoMark(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for step, err := range explain.Read(bytes.NewReader(text)) {
			if err != nil {
				t.Fatal(err)
			}
			if step.Kind == explain.Failure {
				continue
			}
			e := explain.New(explain.Options{}).Explain(explain.Step{Bytes: step.Bytes})
			if e.Answer != (step.Kind == explain.Answer) {
				t.Errorf("%s: %X is taken for the wrong one", filepath.Base(file), step.Bytes)
			}
		}
	}
}
