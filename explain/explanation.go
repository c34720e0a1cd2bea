package explain

import (
	"fmt"
	"strings"
)

// Explanation is one command or answer in words.
type Explanation struct {
	// Answer tells that a card said it, and not a terminal.
	Answer bool `json:"answer"`

	// Hex is the header of a command (CLA INS P1 P2) or the status word of an answer.
	Hex string `json:"hex"`

	// Name is the name of the instruction, or the meaning of the status word.
	Name string `json:"name"`

	// Clause is where the instruction is specified.
	Clause string `json:"clause,omitempty"`

	// To names the command that an answer belongs to, if that is known.
	To string `json:"to,omitempty"`

	Parts []Part `json:"parts,omitempty"`

	// Next is what to do about an answer.
	Next string `json:"next,omitempty"`
}

// Part is one piece of a command or an answer.
type Part struct {
	Name string `json:"name"`           // "P1", "84 private key identifier"
	Hex  string `json:"hex,omitempty"`  // the bytes; absent if they may be secret
	Text string `json:"text,omitempty"` // what they mean

	Parts []Part `json:"parts,omitempty"`

	// Unknown marks what the package does not know.
	Unknown bool `json:"unknown,omitempty"`
}

// Unknown tells whether the explanation has a gap.
func (e Explanation) Unknown() bool { return e.Name == "" || anyUnknown(e.Parts) }

func anyUnknown(parts []Part) bool {
	for _, p := range parts {
		if p.Unknown || anyUnknown(p.Parts) {
			return true
		}
	}
	return false
}

// String is the explanation as text of several lines, the last one ended too.
func (e Explanation) String() string {
	var b strings.Builder
	mark, name := ">", e.Name
	if e.Answer {
		mark = "<"
	}
	if name == "" {
		name = "unknown"
	}
	fmt.Fprintf(&b, "%s %s  %s", mark, e.Hex, name)
	if e.Clause != "" {
		fmt.Fprintf(&b, "  [%s]", e.Clause)
	}
	if e.To != "" {
		fmt.Fprintf(&b, "  (to %s)", e.To)
	}
	b.WriteByte('\n')
	writeParts(&b, e.Parts, 1)
	if e.Next != "" {
		fmt.Fprintf(&b, "    next: %s\n", e.Next)
	}
	return b.String()
}

// writeParts writes parts one to a line, their names in a column.
func writeParts(b *strings.Builder, parts []Part, depth int) {
	width := 0
	for _, p := range parts {
		width = max(width, len(p.Name))
	}
	for _, p := range parts {
		line := fmt.Sprintf("%s%-*s", strings.Repeat("    ", depth), width, p.Name)
		if p.Hex != "" {
			line += "  " + p.Hex
		}
		if p.Text != "" {
			line += "  " + p.Text
		}
		if p.Unknown {
			line += "  (unknown)"
		}
		b.WriteString(strings.TrimRight(line, " "))
		b.WriteByte('\n')
		writeParts(b, p.Parts, depth+1)
	}
}
