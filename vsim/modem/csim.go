package modem

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/simroot/simroot/apdu"
)

func init() {
	register(map[string]command{"+CSIM": {run: genericAccess}})
}

// genericAccess is AT+CSIM (3GPP TS 27.007, 8.17): one APDU as it is, class byte included.
func genericAccess(m *Modem, ctx context.Context, c call) (string, error) {
	command, err := c.apdu(0)
	if err != nil {
		return "", err
	}
	if m.personality.BasicChannelOnly && apdu.ChannelOf(command[0]) != 0 {
		return "", plainError
	}
	answer, err := m.transmit(ctx, command)
	if err != nil {
		return "", err
	}
	if len(command) > 1 && slices.Contains(m.personality.OKAlone, command[1]) && len(answer) == 2 {
		return "", nil
	}
	return m.answer("+CSIM", answer), nil
}

// answer writes what the card answered: its length in characters, then the bytes.
func (m *Modem) answer(prefix string, answer []byte) string {
	p := m.personality
	length := 2 * len(answer)
	if p.AnswerLimit > 0 && len(answer) > p.AnswerLimit {
		answer = answer[:p.AnswerLimit]
		if p.CutUnseen {
			length = 2 * len(answer)
		}
	}
	return fmt.Sprintf("%s: %d,%s", prefix, length, m.quoted(answer))
}

// quoted writes bytes in hexadecimal, in quotes if this modem has any.
func (m *Modem) quoted(b []byte) string {
	text := strings.ToUpper(hex.EncodeToString(b))
	if m.personality.NoQuotes {
		return text
	}
	return `"` + text + `"`
}
