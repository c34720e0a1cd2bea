package modem

import (
	"context"
	"strconv"
)

// Values of +CFUN (3GPP TS 27.007, 8.2).
const (
	minimumFunction = 0 // the SIM is off
	fullFunction    = 1
	noRadio         = 4  // the SIM is on
	restartModem    = 15 // on many modems; the specification has +CFUN=1,1 for it
)

func init() {
	register(map[string]command{
		"+CFUN": {run: functionality, values: "+CFUN: (0,1,4,15),(0,1)"},
		"+CPIN": {run: pin},
	})
}

// functionality is AT+CFUN. Switching the SIM on again resets it; a restart resets the
// modem too.
func functionality(m *Modem, _ context.Context, c call) (string, error) {
	switch c.form {
	case read:
		return "+CFUN: " + strconv.Itoa(m.function), nil
	case set:
	default:
		return "", notSupported
	}
	function, err := c.number(0, restartModem, required)
	if err != nil {
		return "", err
	}
	restart, err := c.number(1, 1, 0)
	if err != nil || len(c.args) > 2 {
		return "", wrongArgument
	}
	switch {
	case function == restartModem:
		m.restart()
	case function != minimumFunction && function != fullFunction && function != noRadio:
		return "", wrongArgument
	case restart == 1:
		m.restart()
		m.function = function
	case m.function == minimumFunction && function != minimumFunction:
		m.startSIM()
		m.function = function
	case function == minimumFunction:
		m.sessions = nil
		m.card.Reset()
		m.function = function
	default:
		m.function = function
	}
	return "", nil
}

// pin is AT+CPIN: this card has none to ask for.
func pin(m *Modem, _ context.Context, c call) (string, error) {
	if err := m.ready(); err != nil {
		return "", err
	}
	if c.form != read {
		return "", notAllowed
	}
	return "+CPIN: READY", nil
}
