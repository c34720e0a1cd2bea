package modem

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/simroot/simroot/apdu"
)

// channel is a logical channel as the layers above see it, in CGLA mode.
type channel struct {
	open    bool
	session string // the modem's handle, "" if nothing is selected
}

// leftover is the highest channel that leftover=close closes.
const leftover = 3

// routed carries a command in CGLA mode: see the package comment.
func (c *Card) routed(ctx context.Context, command []byte) ([]byte, error) {
	number := apdu.ChannelOf(command[0])
	byAID := command[1] == insSelect && command[2]&^0x03 == 0x04
	switch {
	case command[1] == insManageChannel && command[0]&0x80 == 0:
		return c.manage(ctx, command)
	case number > 0 && !c.channels[number].open:
		return only(apdu.ChannelNotSupported)
	case byAID:
		return c.selectAID(ctx, number, command)
	case c.channels[number].session != "":
		return c.cgla(ctx, c.channels[number].session, command)
	case number > 0:
		return only(apdu.ConditionsNot) // nothing is selected
	case c.basic:
		return c.csim(ctx, command)
	}
	return c.basicFile(ctx, command)
}

func only(sw apdu.SW) ([]byte, error) { return apdu.Response{SW: sw}.Bytes(), nil }

// manage answers MANAGE CHANNEL.
func (c *Card) manage(ctx context.Context, command []byte) ([]byte, error) {
	number := int(command[3])
	switch {
	case command[2] == 0x00 && number == 0:
		for number = 1; number <= apdu.MaxChannel; number++ {
			if !c.channels[number].open {
				c.channels[number] = channel{open: true}
				return []byte{byte(number), 0x90, 0x00}, nil
			}
		}
		return only(apdu.FunctionNotSupported)
	case command[2] == 0x80:
		if number == 0 {
			number = apdu.ChannelOf(command[0])
		}
		if number == 0 || number > apdu.MaxChannel || !c.channels[number].open {
			return only(apdu.ChannelNotSupported)
		}
		err := c.unbind(ctx, number)
		c.channels[number].open = false
		if err != nil && !answered(err) {
			return nil, err
		}
		return only(apdu.OK)
	}
	return only(apdu.WrongP1P2)
}

// selectAID opens a channel of the modem for an application. A handle of before is given
// back first: an application may allow one channel only.
func (c *Card) selectAID(ctx context.Context, number int, command []byte) ([]byte, error) {
	parsed, err := apdu.Parse(command)
	if err != nil {
		return only(apdu.WrongLength)
	}
	if err := c.unbind(ctx, number); err != nil && !answered(err) {
		return nil, err
	}
	lines, err := c.command(ctx, fmt.Sprintf(`AT+CCHO="%X"`, parsed.Data), insSelect)
	var refusal CMEError
	switch {
	case errors.As(err, &refusal) && slices.Contains(c.quirk.NotFound, refusal):
		return only(apdu.NotFound)
	case errors.As(err, &refusal) && cmeMeanings[refusal] == nil:
		return nil, fmt.Errorf("open a channel for the application: %w; if programs that have ended hold all channels, add leftover=close to the card URI, or restart the modem", err)
	case err != nil:
		return nil, err
	}
	session, err := findSession(lines)
	if err != nil {
		return nil, err
	}
	c.channels[number] = channel{open: true, session: session}
	c.noteOpen()
	return only(apdu.OK)
}

// unbind gives a channel's handle back.
func (c *Card) unbind(ctx context.Context, number int) error {
	ch := &c.channels[number]
	if ch.session == "" {
		return nil
	}
	if _, err := c.command(ctx, fmt.Sprintf("AT+CCHC=%s", ch.session), insManageChannel); err != nil && !answered(err) {
		return err
	}
	ch.session = ""
	c.noteOpen()
	return nil
}

// cgla passes a command to a channel of the modem, which writes the channel into the
// class by itself.
func (c *Card) cgla(ctx context.Context, session string, command []byte) ([]byte, error) {
	command = slices.Clone(c.shape(command))
	command[0] = apdu.OnChannel(command[0], 0)
	return c.exchange(ctx, fmt.Sprintf(`AT+CGLA=%s,%d,"%X"`, session, 2*len(command), command), "+CGLA:", command[1])
}

// closeChannels closes what was opened through c, as far as ctx allows.
func (c *Card) closeChannels(ctx context.Context) {
	for number := range c.channels {
		if c.opened[number] {
			_, _ = c.csim(ctx, []byte{0x00, insManageChannel, 0x80, byte(number)})
		}
		_ = c.unbind(ctx, number)
	}
}

// closeLeftover closes channels 1 to 3, whoever opened them. That one is not open is no
// error.
func (c *Card) closeLeftover(ctx context.Context) error {
	for number := 1; number <= leftover; number++ {
		var err error
		if c.info.Mode == CGLA {
			_, err = c.command(ctx, fmt.Sprintf("AT+CCHC=%d", number), insManageChannel)
		} else {
			_, err = c.csim(ctx, []byte{0x00, insManageChannel, 0x80, byte(number)})
		}
		if !answered(err) {
			return fmt.Errorf("close leftover channel %d: %w", number, err)
		}
	}
	return nil
}
