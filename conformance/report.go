package conformance

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"
)

// Outcome is what became of a test.
type Outcome string

// Outcomes.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Report is what a card's test has found.
type Report struct {
	// AID is the name under which the applet was found, in hexadecimal.
	AID Hex `json:"aid"`

	// Type is I or II, as the applet says; empty if it does not say.
	Type string `json:"type,omitempty"`

	Results []Result `json:"results"`
}

// Result is the outcome of one test.
type Result struct {
	ID      string  `json:"id"`
	Title   string  `json:"title"`
	Chapter string  `json:"chapter"`
	Outcome Outcome `json:"outcome"`

	// Reason tells why it failed or was skipped.
	Reason string `json:"reason,omitempty"`

	// Exchanges are the last commands of a failed test with their answers.
	Exchanges []Exchange `json:"exchanges,omitempty"`

	Duration time.Duration `json:"nanoseconds"`
}

// Exchange is one command and the card's answer, as they passed.
type Exchange struct {
	Command Hex `json:"command"`
	Answer  Hex `json:"answer"`
}

// Hex is bytes that print, and travel in JSON, in hexadecimal.
type Hex []byte

// String is the bytes in hexadecimal, without spaces.
func (b Hex) String() string { return strings.ToUpper(hex.EncodeToString(b)) }

// MarshalText writes the bytes in hexadecimal.
func (b Hex) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads bytes in hexadecimal.
func (b *Hex) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// Count is the number of tests with the given outcome.
func (r Report) Count(o Outcome) int {
	n := 0
	for _, result := range r.Results {
		if result.Outcome == o {
			n++
		}
	}
	return n
}

// Failures lists the tests that failed.
func (r Report) Failures() []Result {
	var failed []Result
	for _, result := range r.Results {
		if result.Outcome == Failed {
			failed = append(failed, result)
		}
	}
	return failed
}

// WriteText writes the report for people: a line for each test, for a failed one also
// why and what was said, and a summary.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "IoT SAFE applet %s%s\n\n", r.AID, typeText(r.Type))
	for _, result := range r.Results {
		switch result.Outcome {
		case Passed:
			fmt.Fprintf(&b, "ok    %-28s %s\n", result.ID, result.Title)
		case Skipped:
			fmt.Fprintf(&b, "skip  %-28s %s\n      %-28s %s\n", result.ID, result.Title, "", result.Reason)
		case Failed:
			fmt.Fprintf(&b, "FAIL  %-28s %s\n      %-28s %s (chapter %s)\n", result.ID, result.Title, "", result.Reason, result.Chapter)
			for _, e := range result.Exchanges {
				fmt.Fprintf(&b, "        > %s\n        < %s\n", e.Command, e.Answer)
			}
		}
	}
	fmt.Fprintf(&b, "\n%d tests: %d passed, %d failed, %d skipped\n",
		len(r.Results), r.Count(Passed), r.Count(Failed), r.Count(Skipped))
	_, err := io.WriteString(w, b.String())
	return err
}

func typeText(typ string) string {
	if typ == "" {
		return ""
	}
	return ", Type " + typ
}
