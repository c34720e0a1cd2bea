package modem

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/simroot/simroot/apdu"
)

// Notes in the lock file, by which the next process knows what a killed one has left open.
const (
	noteChannel = "channel " // a logical channel of the card, opened over AT+CSIM
	noteSession = "session " // a handle of the modem's
)

// noteOpen writes down what is open. A note that cannot be written costs a later process a
// channel, and this one nothing.
func (c *Card) noteOpen() {
	if c.lock == nil {
		return
	}
	var notes []string
	for number := range c.channels {
		if c.opened[number] {
			notes = append(notes, noteChannel+strconv.Itoa(number))
		}
		if session := c.channels[number].session; session != "" {
			notes = append(notes, noteSession+session)
		}
	}
	_ = c.lock.Note(notes...)
}

// closeAbandoned closes the channels that a killed process had noted. That one is not open
// any more, since the modem was restarted meanwhile, is no error.
func (c *Card) closeAbandoned(ctx context.Context, notes []string) error {
	for _, note := range notes {
		var err error
		if session, ok := strings.CutPrefix(note, noteSession); ok && len(session) <= maxHandle && isHex(session) {
			_, err = c.command(ctx, "AT+CCHC="+session, insManageChannel)
		}
		if text, ok := strings.CutPrefix(note, noteChannel); ok {
			if number, bad := strconv.Atoi(text); bad == nil && number >= 1 && number <= apdu.MaxChannel {
				_, err = c.csim(ctx, []byte{0x00, insManageChannel, 0x80, byte(number)})
			}
		}
		if !answered(err) {
			return fmt.Errorf("close the %s that an earlier process left open: %w", note, err)
		}
	}
	return nil
}
