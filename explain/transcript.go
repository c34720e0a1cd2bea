package explain

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Step is one command or answer of a conversation written down.
type Step struct {
	Kind  Kind
	Bytes []byte
}

// Kind is what a step is.
type Kind int

// The kinds of steps.
const (
	Either  Kind = iota // nothing tells
	Command             // marked with >
	Answer              // marked with <
)

// Explain explains one step.
func (s *Session) Explain(step Step) Explanation {
	switch step.Kind {
	case Command:
		return s.Command(step.Bytes)
	case Answer:
		return s.Answer(step.Bytes)
	}
	return s.Either(step.Bytes)
}

// maxLine bounds one line of text, in bytes.
const maxLine = 1 << 18

// Read finds commands and answers in text, one at a time, as far as the text goes:
//
//	> 0070000001            < 01 9000
//	[any] > 81CB010000      (any remark)
//	< C1 12 …
//	  4A 01 01 9000         # an indented line goes on with the one before
//
// Digits are hexadecimal and blanks do not matter. A line without marks is a command or an
// answer, whatever it looks like. It ends at the first error, which names the line.
func Read(r io.Reader) iter.Seq2[Step, error] {
	return func(yield func(Step, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		var open *Step // may be continued by the next line
		flush := func() bool {
			if open == nil {
				return true
			}
			step := *open
			open = nil
			return yield(step, nil)
		}
		number := 0
		for lines.Scan() {
			number++
			steps, goesOn, err := readLine(lines.Text())
			if err == nil && goesOn && open != nil {
				open.Bytes = append(open.Bytes, steps[0].Bytes...)
				if len(open.Bytes) > maxLine {
					err = fmt.Errorf("more than %d bytes", maxLine)
				}
				steps = nil
			}
			if err != nil {
				if flush() {
					yield(Step{}, fmt.Errorf("line %d: %w", number, err))
				}
				return
			}
			for _, s := range steps {
				if !flush() {
					return
				}
				open = &s
			}
		}
		if !flush() {
			return
		}
		if err := lines.Err(); err != nil {
			yield(Step{}, fmt.Errorf("line %d: %w", number+1, err))
		}
	}
}

// readLine finds the steps of one line. goesOn tells that it has no mark and is indented.
func readLine(line string) (steps []Step, goesOn bool, err error) {
	line = withoutRemarks(line)
	at := strings.IndexAny(line, "<>")
	if at < 0 {
		b, err := digits(line)
		if err != nil || len(b) == 0 {
			return nil, false, err
		}
		return []Step{{Either, b}}, strings.IndexAny(line, " \t") == 0, nil
	}
	for line = line[at:]; line != ""; {
		kind := Command
		if line[0] == '<' {
			kind = Answer
		}
		text := line[1:]
		line = ""
		if end := strings.IndexAny(text, "<>"); end >= 0 {
			text, line = text[:end], text[end:]
		}
		b, err := digits(text)
		if err != nil {
			return nil, false, err
		}
		if len(b) == 0 {
			return nil, false, fmt.Errorf("nothing behind %q", [...]string{Command: ">", Answer: "<"}[kind])
		}
		steps = append(steps, Step{kind, b})
	}
	return steps, false, nil
}

// withoutRemarks takes away what stands in parentheses or behind a #.
func withoutRemarks(line string) string {
	line, _, _ = strings.Cut(line, "#")
	var kept strings.Builder
	for {
		before, behind, found := strings.Cut(line, "(")
		kept.WriteString(before)
		if !found {
			return kept.String()
		}
		_, line, _ = strings.Cut(behind, ")")
	}
}

func digits(text string) ([]byte, error) {
	packed := strings.Join(strings.Fields(text), "")
	b, err := hex.DecodeString(packed)
	if err != nil {
		return nil, fmt.Errorf("%.40q is not hexadecimal: %w", strings.TrimSpace(text), err)
	}
	return b, nil
}
