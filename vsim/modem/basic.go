package modem

import (
	"context"
)

// settings are what ATZ and AT&F put back.
type settings struct {
	echo   bool // E: send back what comes
	quiet  bool // Q: no result codes
	terse  bool // V0: result codes as numbers
	errors int  // +CMEE
}

// Values of +CMEE (3GPP TS 27.007, 9.1).
const (
	errorsPlain   = 0 // ERROR
	errorsNumeric = 1 // +CME ERROR: 13
	errorsVerbose = 2 // +CME ERROR: SIM failure
)

func init() {
	register(map[string]command{
		"E":     {run: onOff(func(m *Modem, on bool) { m.settings.echo = on })},
		"Q":     {run: onOff(func(m *Modem, on bool) { m.settings.quiet = on })},
		"V":     {run: onOff(func(m *Modem, on bool) { m.settings.terse = !on })},
		"Z":     {run: restore},
		"&F":    {run: restore},
		"I":     {run: identify},
		"+CMEE": {run: reportErrors, values: "+CMEE: (0-2)"},

		// Settings of a data connection, which this modem never has, and of storing
		// settings, which it always finds as they were.
		"X":  {run: accept},
		"H":  {run: accept},
		"&C": {run: accept},
		"&D": {run: accept},
		"&K": {run: accept},
		"&W": {run: accept},
	})
}

func accept(*Modem, context.Context, call) (string, error) { return "", nil }

// onOff makes a basic command whose number is 0, or left out, or 1.
func onOff(put func(m *Modem, on bool)) func(*Modem, context.Context, call) (string, error) {
	return func(m *Modem, _ context.Context, c call) (string, error) {
		n, err := c.number(0, 1, 0)
		if err != nil {
			return "", plainError
		}
		put(m, n == 1)
		return "", nil
	}
}

// restore is ATZ and AT&F. Neither touches the card.
func restore(m *Modem, _ context.Context, c call) (string, error) {
	if _, err := c.number(0, 1, 0); err != nil {
		return "", plainError
	}
	m.settings = m.personality.settings()
	return "", nil
}

// reportErrors is AT+CMEE.
func reportErrors(m *Modem, _ context.Context, c call) (string, error) {
	switch c.form {
	case read:
		return "+CMEE: " + string(rune('0'+m.settings.errors)), nil
	case set:
		n, err := c.number(0, errorsVerbose, required)
		if err != nil || len(c.args) != 1 {
			return "", wrongArgument
		}
		m.settings.errors = n
		return "", nil
	}
	return "", notSupported
}
