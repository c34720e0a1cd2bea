package modem

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// findAnswer finds the SIM's answer among the lines of a modem's answer: the line that
// begins with prefix (+CSIM: or +CGLA:), and what it spilled into later lines. Modems
// break long lines, and let unsolicited ones in between. Without such a line it
// fails with [ErrBareOK].
func findAnswer(lines []string, prefix string) ([]byte, error) {
	for i, text := range lines {
		rest, ok := strings.CutPrefix(text, prefix)
		if !ok {
			continue
		}
		a, err := beginAnswer(rest)
		if err != nil {
			return nil, err
		}
		for _, more := range lines[i+1:] {
			if digits := unquote(more); len(a.digits) < a.length && isHex(digits) {
				a.digits += digits
			}
		}
		return a.bytes()
	}
	return nil, ErrBareOK
}

// simAnswer is the SIM's answer in the modem's words.
type simAnswer struct {
	length int // announced, in hexadecimal digits
	digits string
}

// beginAnswer reads `8,"90006100"`, with or without quotes, with blanks anywhere.
func beginAnswer(s string) (simAnswer, error) {
	count, digits, found := strings.Cut(s, ",")
	length, err := strconv.ParseUint(unquote(count), 10, 16)
	if !found || err != nil {
		return simAnswer{}, fmt.Errorf("no length and data in the SIM's answer: %w", ErrTorn)
	}
	a := simAnswer{length: int(length), digits: unquote(digits)}
	if !isHex(a.digits) {
		return simAnswer{}, fmt.Errorf("the SIM's answer is not hexadecimal: %w", ErrTorn)
	}
	return a, nil
}

func (a simAnswer) bytes() ([]byte, error) {
	if len(a.digits) != a.length {
		return nil, fmt.Errorf("the SIM's answer has %d of the %d digits that the modem announced: %w", len(a.digits), a.length, ErrTorn)
	}
	b, err := hex.DecodeString(a.digits)
	if err != nil || len(b) < 2 {
		return nil, fmt.Errorf("%d digits are no answer of a SIM: %w", len(a.digits), ErrTorn)
	}
	// A modem that cuts an answer may also announce what is left of it. Then the status
	// word is missing, and data in its place seldom looks like one (ISO/IEC 7816-3, 10.3.3).
	if sw1 := b[len(b)-2]; sw1>>4 != 0x6 && sw1>>4 != 0x9 || sw1 == 0x60 {
		return nil, fmt.Errorf("the SIM's answer has no status word at its end: %w", ErrTorn)
	}
	return b, nil
}

// unquote drops blanks and quotes, wherever they are.
func unquote(s string) string { return dropQuotes.Replace(s) }

var dropQuotes = strings.NewReplacer(`"`, "", " ", "", "\t", "")

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// findSession finds the handle that AT+CCHO gave out: `+CCHO: 7`, or alone on its line.
// Some modems give sixteen hexadecimal digits; whatever it is, it goes back as it came.
func findSession(lines []string) (string, error) {
	for _, prefixed := range []bool{true, false} {
		for _, text := range lines {
			rest, ok := strings.CutPrefix(text, "+CCHO:")
			if ok != prefixed {
				continue
			}
			first, _, _ := strings.Cut(rest, ",") // some add what SELECT answered
			if handle := unquote(first); handle != "" && len(handle) <= maxHandle && isHex(handle) {
				return handle, nil
			}
		}
	}
	return "", fmt.Errorf("the modem opened a channel and gave no handle: %w", ErrTorn)
}

// maxHandle is the longest handle taken, in characters.
const maxHandle = 20

// findFile finds what AT+CRSM answered, as the SIM would have: `+CRSM: 144,0,"98…"`.
func findFile(lines []string) ([]byte, error) {
	for _, text := range lines {
		rest, ok := strings.CutPrefix(text, "+CRSM:")
		if !ok {
			continue
		}
		fields := strings.Split(unquote(rest), ",")
		if len(fields) < 2 || len(fields) > 3 {
			break
		}
		sw1, err1 := strconv.ParseUint(fields[0], 10, 8)
		sw2, err2 := strconv.ParseUint(fields[1], 10, 8)
		var data []byte
		var err3 error
		if len(fields) == 3 {
			data, err3 = hex.DecodeString(fields[2])
		}
		if err1 != nil || err2 != nil || err3 != nil {
			break
		}
		return append(data, byte(sw1), byte(sw2)), nil
	}
	return nil, fmt.Errorf("no answer to AT+CRSM: %w", ErrTorn)
}
