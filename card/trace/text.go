package trace

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// heading is the first line of a trace.
const heading = "# simroot trace 1"

// Bounds of a trace that is read.
const (
	maxLine    = 1 << 17 // bytes; the longest answer of 64 KiB just fits
	maxEntries = 1 << 20
)

// Kind says what a line of a trace holds.
type Kind byte

// The kinds, by the character that they are written with.
const (
	Command Kind = '>'
	Answer  Kind = '<'
	Failure Kind = '!'
)

// Entry is one line of a trace.
type Entry struct {
	At    time.Duration // since the recording began
	Kind  Kind
	Bytes []byte // of a command or an answer; 0 where hidden
	Known []bool // which of Bytes are told; nil: all
	Text  string // of a failure
}

// hexadecimal writes bytes in capital letters, and XX in place of what is hidden.
func hexadecimal(b []byte, hide []span) string {
	text := []byte(strings.ToUpper(hex.EncodeToString(b)))
	for _, s := range hide {
		for i := 2 * max(0, s.from); i < min(2*s.to, len(text)); i++ {
			text[i] = 'X'
		}
	}
	return string(text)
}

// Hex is the entry's bytes as they are written.
func (e Entry) Hex() string {
	var hide []span
	for i, known := range e.Known {
		if !known {
			hide = append(hide, span{i, i + 1})
		}
	}
	return hexadecimal(e.Bytes, hide)
}

// Read reads a trace. It refuses what is malformed with the number of the line.
func Read(r io.Reader) ([]Entry, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine+256)
	var entries []Entry
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if n == 1 && text != heading {
			return nil, fmt.Errorf("line 1 is not %q: this is no trace that this version reads", heading)
		}
		if text == "" || text[0] == '#' {
			continue
		}
		e, err := parseEntry(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("line %d: more than %d entries", n, maxEntries)
		}
		// Commands and what came of them alternate.
		if (e.Kind == Command) != (len(entries)%2 == 0) {
			return nil, fmt.Errorf("line %d: a command is followed by its answer or a failure, and that by the next command", n)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(entries)%2 != 0 {
		entries = entries[:len(entries)-1] // the recording ended in the middle
	}
	return entries, nil
}

func parseEntry(text string) (Entry, error) {
	at, rest, _ := strings.Cut(text, " ")
	kind, value, found := strings.Cut(rest, " ")
	seconds, err := strconv.ParseFloat(at, 64)
	if !found || len(kind) != 1 || err != nil || !(seconds >= 0 && seconds < 1e9) {
		return Entry{}, fmt.Errorf("want seconds, one of > < !, and bytes or text")
	}
	e := Entry{At: time.Duration(seconds * float64(time.Second)), Kind: Kind(kind[0])}
	value = strings.TrimSpace(value)
	switch e.Kind {
	case Failure:
		e.Text = value
		return e, nil
	case Command, Answer:
		e.Bytes, e.Known, err = parseBytes(value)
		if least := map[Kind]int{Command: 4, Answer: 2}[e.Kind]; err == nil && len(e.Bytes) < least {
			err = fmt.Errorf("%d bytes: want %d at least", len(e.Bytes), least)
		}
		return e, err
	}
	return Entry{}, fmt.Errorf("want one of the marks > < ! and not %q", kind)
}

// parseBytes reads hexadecimal digits with XX among them.
func parseBytes(text string) (b []byte, known []bool, err error) {
	if len(text)%2 != 0 {
		return nil, nil, fmt.Errorf("half a byte at the end")
	}
	if strings.Contains(text, "XX") {
		known = make([]bool, len(text)/2)
	}
	b = make([]byte, len(text)/2)
	for i := range b {
		digits := text[2*i : 2*i+2]
		if digits == "XX" {
			continue
		}
		if _, err := hex.Decode(b[i:i+1], []byte(digits)); err != nil {
			return nil, nil, fmt.Errorf("%q at byte %d is no byte", digits, i)
		}
		if known != nil {
			known[i] = true
		}
	}
	return b, known, nil
}
