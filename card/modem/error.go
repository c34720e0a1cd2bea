package modem

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// What callers may have to tell apart.
var (
	// ErrInUse: another process has the modem.
	ErrInUse = errors.New("the modem is in use")

	// ErrSilent: nothing that could be a modem answers on the line.
	ErrSilent = errors.New("the modem does not answer: see that it is switched on, that this is its AT port (USB modems have several), and that the baud rate is right")

	// ErrNoAccess: the modem has no command that reaches the SIM.
	ErrNoAccess = errors.New("the modem offers neither AT+CSIM nor AT+CCHO with AT+CGLA, so there is no way to the SIM: update its firmware, or put the SIM into a reader")

	// ErrNoSIM: the modem sees no SIM.
	ErrNoSIM = errors.New("the modem sees no SIM: insert one the right way round, then restart the modem (AT+CFUN=1,1)")

	// ErrPIN: the SIM wants its PIN or PUK first.
	ErrPIN = errors.New("the SIM wants its PIN: give it to the modem (AT+CPIN), or switch the PIN off")

	// ErrSIMFailure: the modem has a SIM and cannot work with it.
	ErrSIMFailure = errors.New("the modem cannot work with the SIM: on an eSIM enable a profile; else take the SIM out, insert it again and restart the modem (AT+CFUN=1,1)")

	// ErrBusy: the modem keeps the SIM to itself for now. The command was not carried out.
	ErrBusy = errors.New("the SIM is busy: the modem is starting, or uses it itself; try again in a few seconds")

	// ErrTimeout: no answer came in time. Whether the SIM has carried out the command is
	// unknown. The [Card] can be used again.
	ErrTimeout = errors.New("the modem did not answer in time: try again; if it stays so, restart the modem")

	// ErrTorn: an answer came that is not whole. Whether the SIM has carried out the
	// command is unknown. The [Card] can be used again.
	ErrTorn = errors.New("the modem's answer is cut or damaged: try again; if it stays so, the modem may not carry long answers: add answer=50 to the card URI")

	// ErrBareOK: the modem confirmed a command without the SIM's answer.
	ErrBareOK = errors.New("the modem answered OK without the SIM's answer: if its firmware is known to do so, name a model whose quirks say it (model=NAME in the card URI)")

	// ErrClosed: the [Card] was closed.
	ErrClosed = errors.New("the modem connection is closed")
)

// CMEError is an error answer of the modem (3GPP TS 27.007, 9.2). It is one of the errors
// above where its code has such a meaning: errors.Is(err, ErrNoSIM).
type CMEError int

// plainError is the answer ERROR, without a code.
const plainError CMEError = -1

var cmeTexts = map[CMEError]string{
	0:   "phone failure",
	3:   "operation not allowed",
	4:   "operation not supported",
	10:  "SIM not inserted",
	11:  "SIM PIN required",
	12:  "SIM PUK required",
	13:  "SIM failure",
	14:  "SIM busy",
	15:  "SIM wrong",
	16:  "incorrect password",
	20:  "memory full",
	21:  "invalid index",
	22:  "not found",
	24:  "text string too long",
	50:  "incorrect parameters",
	100: "unknown",
}

var cmeMeanings = map[CMEError]error{
	10: ErrNoSIM, 11: ErrPIN, 12: ErrPIN, 13: ErrSIMFailure, 14: ErrBusy, 15: ErrSIMFailure,
}

// Error gives the code, its meaning, and what to do about it where that is known.
func (e CMEError) Error() string {
	text := "the modem answered ERROR"
	if e != plainError {
		text = fmt.Sprintf("the modem answered +CME ERROR: %d", int(e))
		if meaning, ok := cmeTexts[e]; ok {
			text += " (" + meaning + ")"
		}
	}
	if advice := cmeMeanings[e]; advice != nil {
		text += "; " + advice.Error()
	}
	return text
}

// Is makes errors.Is find the meaning of a code.
func (e CMEError) Is(target error) bool { return cmeMeanings[e] == target && target != nil }

// finalResult tells whether a line ends an answer, and if so what it says: nil for OK.
func finalResult(line string) (err error, final bool) {
	switch {
	case line == "OK":
		return nil, true
	case line == "ERROR", line == "COMMAND NOT SUPPORT":
		return plainError, true
	}
	for _, prefix := range []string{"+CME ERROR:", "+CMS ERROR:"} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			return cmeError(strings.TrimSpace(rest)), true
		}
	}
	return nil, false
}

// cmeError reads a code, or the words that stand for it after AT+CMEE=2.
func cmeError(s string) CMEError {
	if n, err := strconv.ParseUint(s, 10, 16); err == nil {
		return CMEError(n)
	}
	for code, text := range cmeTexts {
		if strings.EqualFold(s, text) {
			return code
		}
	}
	return plainError
}
