package modem

import (
	"errors"
	"strconv"

	"github.com/simroot/simroot/apdu"
)

// refusal is why a command was not carried out: a code of 3GPP TS 27.007, 9.2, or
// [plainError].
type refusal int

// plainError is answered with ERROR whatever +CMEE says (V.250, 5.7.1): the modem does
// not know the command, or cannot read it.
const plainError refusal = -1

// done is no refusal: the final result is OK.
const done refusal = -2

// The codes in use (3GPP TS 27.007, 9.2.1).
const (
	phoneFailure  refusal = 0
	notAllowed    refusal = 3
	notSupported  refusal = 4
	noSIM         refusal = 10
	simFailure    refusal = 13
	simBusy       refusal = 14
	simWrong      refusal = 15
	wrongIndex    refusal = 21
	notFound      refusal = 22
	textTooLong   refusal = 24
	wrongArgument refusal = 50
)

// texts are the codes in the words of the specification.
var texts = map[refusal]string{
	phoneFailure:  "phone failure",
	notAllowed:    "operation not allowed",
	notSupported:  "operation not supported",
	noSIM:         "SIM not inserted",
	simFailure:    "SIM failure",
	simBusy:       "SIM busy",
	simWrong:      "SIM wrong",
	wrongIndex:    "invalid index",
	notFound:      "not found",
	textTooLong:   "text string too long",
	wrongArgument: "incorrect parameters",
}

func (r refusal) Error() string {
	if text, ok := texts[r]; ok {
		return text
	}
	return "error"
}

// refusedByCard is the code for a card that refused with a status word what the modem
// asked of it; any other error is passed on.
func refusedByCard(err error) error {
	switch sw, ok := errors.AsType[apdu.SW](err); {
	case !ok:
		return err
	case sw == apdu.NotFound:
		return notFound
	default:
		return simFailure
	}
}

// result appends a final result code (V.250, 5.7.1; TS 27.007, 9.2).
func (m *Modem) result(out []byte, r refusal) []byte {
	s := m.settings
	switch {
	case s.quiet:
		return out
	case r == done:
		return s.code(out, "OK", "0")
	case r == plainError || s.errors == errorsPlain:
		return s.code(out, "ERROR", "4")
	case s.errors == errorsNumeric:
		return appendLine(out, "+CME ERROR: "+strconv.Itoa(int(r)))
	}
	return appendLine(out, "+CME ERROR: "+r.Error())
}

// code appends a result code in words or, after ATV0, in its number.
func (s settings) code(out []byte, word, number string) []byte {
	if s.terse {
		return append(append(out, number...), cr)
	}
	return appendLine(out, word)
}

// information appends the information text of one command, which may have several lines.
func (m *Modem) information(out []byte, text string) []byte {
	if text == "" {
		return out
	}
	out = m.interrupt(out)
	if m.settings.terse {
		out = append(append(out, text...), cr, lf)
	} else {
		out = appendLine(out, text)
	}
	return m.interrupt(out)
}

// interrupt appends an unsolicited line, if the modem is one that sends them there.
func (m *Modem) interrupt(out []byte) []byte {
	lines := m.personality.Unsolicited
	if len(lines) == 0 {
		return out
	}
	m.unsolicited++
	return appendLine(out, lines[(m.unsolicited-1)%len(lines)])
}

// appendLine appends one line as modems send it: CR LF before it and after it.
func appendLine(out []byte, line string) []byte {
	out = append(out, cr, lf)
	out = append(out, line...)
	return append(out, cr, lf)
}
