package explain

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
)

// Step is one command or answer of a conversation written down.
type Step struct {
	Kind  Kind
	Bytes []byte

	// Withheld is how many of the bytes are not told, and stand as 00.
	Withheld int

	// Text says why there is no answer, of a [Failure].
	Text string
}

// Kind is what a step is.
type Kind int

// The kinds of steps.
const (
	Either  Kind = iota // nothing tells
	Command             // marked with >
	Answer              // marked with <
	Failure             // marked with !, in place of an answer
)

// Explain explains one step.
func (s *Session) Explain(step Step) Explanation {
	s.withheld = step.Withheld
	defer func() { s.withheld = 0 }()
	switch step.Kind {
	case Command:
		return s.Command(step.Bytes)
	case Answer:
		return s.Answer(step.Bytes)
	case Failure:
		return s.failure(step.Text)
	}
	return s.Either(step.Bytes)
}

// failure tells why there is no answer.
func (s *Session) failure(why string) Explanation {
	e := Explanation{Answer: true, Hex: "!", Name: "no answer: " + clean(why)}
	if s.last != nil && s.last.row != nil {
		e.To = s.last.row.name
	}
	return e
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
// Digits are hexadecimal, XX is a byte that is not told, and blanks do not matter. A line
// without marks is a command or an answer, whatever it looks like. A trace (package
// card/trace) is such a text. It ends at the first error, which names the line.
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
				open.Withheld += steps[0].Withheld
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
	if why, failed := failed(line); failed {
		return []Step{{Kind: Failure, Text: why}}, false, nil
	}
	line = withoutRemarks(line)
	at := strings.IndexAny(line, "<>")
	if at < 0 {
		step, err := digits(Either, line)
		if err != nil || len(step.Bytes) == 0 {
			return nil, false, err
		}
		return []Step{step}, strings.IndexAny(line, " \t") == 0, nil
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
		step, err := digits(kind, text)
		if err != nil {
			return nil, false, err
		}
		if len(step.Bytes) == 0 {
			return nil, false, fmt.Errorf("nothing behind %q", [...]string{Command: ">", Answer: "<"}[kind])
		}
		steps = append(steps, step)
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

// failed tells whether a line says why there is no answer: an exclamation mark, which a
// trace puts behind the time.
func failed(line string) (why string, is bool) {
	fields := strings.Fields(line)
	if len(fields) > 1 && fields[0] != "!" {
		if _, err := strconv.ParseFloat(fields[0], 64); err != nil {
			return "", false
		}
		fields = fields[1:]
	}
	if len(fields) == 0 || fields[0] != "!" {
		return "", false
	}
	return strings.Join(fields[1:], " "), true
}

// digits reads bytes, XX among them.
func digits(kind Kind, text string) (Step, error) {
	packed := strings.Join(strings.Fields(text), "")
	step := Step{Kind: kind}
	if strings.Contains(packed, "XX") {
		told := []byte(packed)
		for i := 0; i+1 < len(told); i += 2 {
			if told[i] == 'X' && told[i+1] == 'X' {
				told[i], told[i+1] = '0', '0'
				step.Withheld++
			}
		}
		packed = string(told)
	}
	b, err := hex.DecodeString(packed)
	if err != nil {
		return Step{}, fmt.Errorf("%.40q is not hexadecimal: %w", strings.TrimSpace(text), err)
	}
	step.Bytes = b
	return step, nil
}
