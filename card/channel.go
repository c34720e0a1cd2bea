package card

import (
	"context"
	"fmt"

	"github.com/simroot/simroot/apdu"
)

// Instructions (ETSI TS 102 221, 11.1.17 and 11.1.1).
const (
	insManageChannel = 0x70
	insSelect        = 0xA4
)

// OpenChannel opens a logical channel and returns its number, 1 to 19. If the card
// refuses, the error wraps its status word.
func OpenChannel(ctx context.Context, c Card) (int, error) {
	data, err := Do(ctx, c, apdu.Command{INS: insManageChannel, Le: 1})
	if err != nil {
		return 0, fmt.Errorf("open a logical channel: %w", err)
	}
	if len(data) != 1 || data[0] == 0 || int(data[0]) > apdu.MaxChannel {
		return 0, fmt.Errorf("open a logical channel: the card answered % X, want one byte, 1 to %d", data, apdu.MaxChannel)
	}
	return int(data[0]), nil
}

// CloseChannel closes logical channel ch.
func CloseChannel(ctx context.Context, c Card, ch int) error {
	if _, err := Do(ctx, c, apdu.Command{INS: insManageChannel, P1: 0x80, P2: byte(ch)}); err != nil {
		return fmt.Errorf("close logical channel %d: %w", ch, err)
	}
	return nil
}

// Select selects an application by AID on channel ch. It sends no Le and ignores the
// file control information.
func Select(ctx context.Context, c Card, ch int, aid []byte) error {
	_, err := Do(ctx, c, apdu.Command{CLA: apdu.OnChannel(0, ch), INS: insSelect, P1: 0x04, Data: aid})
	return err
}
