package modem

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// form is in which of its forms a command came (V.250, 5.4).
type form int

const (
	execute form = iota // AT+NAME, or a basic command
	read                // AT+NAME?
	test                // AT+NAME=?
	set                 // AT+NAME=…
)

// call is one command of a line.
type call struct {
	name string // in capitals: "+CSIM", "E", "&F"
	form form
	args []string // of set, without quotes; the number of a basic command
}

// nextCall takes the first command off a line. Its name is "" at the end of the line.
func nextCall(line string) (c call, rest string, err error) {
	line = strings.TrimLeft(line, " ;")
	switch {
	case line == "":
		return call{}, "", nil
	case strings.ContainsRune("+^$%#*", rune(line[0])):
		return extended(line)
	}
	return basic(line)
}

// basic reads a basic command: a letter, perhaps after an ampersand, and a number
// (V.250, 5.3.1).
func basic(line string) (call, string, error) {
	n := 1
	if line[0] == '&' {
		n = 2
	}
	if len(line) < n || !letter(line[n-1]) {
		return call{}, "", plainError
	}
	c := call{name: strings.ToUpper(line[:n])}
	rest := strings.TrimLeft(line[n:], " ")
	digits := 0
	for digits < len(rest) && '0' <= rest[digits] && rest[digits] <= '9' {
		digits++
	}
	if digits > 0 {
		c.args = []string{rest[:digits]}
	}
	return c, rest[digits:], nil
}

func letter(b byte) bool { return 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' }

// extended reads an extended command, which ends at a semicolon outside quotes
// (V.250, 5.4).
func extended(line string) (call, string, error) {
	text, rest := cutUnquoted(line, ';')
	end := strings.IndexAny(text, "=?")
	if end < 0 {
		return call{name: name(text)}, rest, nil
	}
	c := call{name: name(text[:end])}
	switch tail := strings.TrimSpace(text[end:]); {
	case tail == "?":
		c.form = read
	case tail[0] == '?':
		return call{}, "", plainError
	case strings.TrimSpace(tail[1:]) == "?":
		c.form = test
	default:
		c.form = set
		for tail = tail[1:]; ; {
			var arg string
			more := len(tail)
			arg, tail = cutUnquoted(tail, ',')
			value, ok := unquote(strings.TrimSpace(arg))
			if !ok {
				return call{}, "", plainError
			}
			c.args = append(c.args, value)
			if more == len(arg) { // no comma came after it
				return c, rest, nil
			}
		}
	}
	return c, rest, nil
}

func name(s string) string { return strings.ToUpper(strings.TrimSpace(s)) }

// cutUnquoted cuts s around the first separator that stands outside quotes.
func cutUnquoted(s string, separator byte) (before, after string) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote takes the quotes off an argument. They are optional, but come in pairs.
func unquote(arg string) (string, bool) {
	if len(arg) >= 2 && arg[0] == '"' && arg[len(arg)-1] == '"' {
		arg = arg[1 : len(arg)-1]
	}
	return arg, !strings.Contains(arg, `"`)
}

// arg is argument i, "" if it is not there.
func (c call) arg(i int) string {
	if i < len(c.args) {
		return c.args[i]
	}
	return ""
}

// number is argument i as a decimal number from 0 to most; absent is what stands for one
// that was left out.
func (c call) number(i, most, absent int) (int, error) {
	text := c.arg(i)
	if text == "" {
		if absent < 0 {
			return 0, wrongArgument
		}
		return absent, nil
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(n) > most {
		return 0, wrongArgument
	}
	return int(n), nil
}

// required makes an argument of [call.number] one that must be there.
const required = -1

// maxAPDU is the longest command APDU that reaches a card, in bytes: a header, 255 bytes
// of data, Lc and Le.
const maxAPDU = 261

// apdu reads two arguments from i on: the length of an APDU in characters, and the APDU.
func (c call) apdu(i int) ([]byte, error) {
	if c.form != set || len(c.args) != i+2 {
		return nil, wrongArgument
	}
	length, err := c.number(i, 2*maxLine, required)
	if err != nil {
		return nil, err
	}
	text := c.arg(i + 1)
	if length != len(text) {
		return nil, wrongArgument
	}
	if length > 2*maxAPDU {
		return nil, textTooLong
	}
	command, err := hex.DecodeString(text)
	if err != nil || len(command) == 0 {
		return nil, wrongArgument
	}
	return command, nil
}
