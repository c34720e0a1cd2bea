// Package apdu is the language spoken with a smart card (ISO/IEC 7816-3 and 7816-4):
// commands, responses, status words and logical channels, in the short form that
// every SIM understands.
//
// A [Command] is built with named fields and turned into bytes by [Command.Bytes]; a
// card's answer becomes a [Response] whose [SW] is an error value that callers test with
// errors.Is:
//
//	answer, err := apdu.Exchange(ctx, card, apdu.Command{INS: 0xA4, P1: 0x04, Data: aid})
//	if errors.Is(err, apdu.NotFound) { … }
//
// [Exchange] follows 61xx and 6Cxx, so that what it returns is the whole answer.
//
// The package knows nothing of any application on the card, and never opens a reader:
// it needs only something that transmits bytes.
package apdu

import (
	"fmt"
)

// MaxData is the most data a short command carries, in bytes (ISO/IEC 7816-3, 12.1.3).
const MaxData = 255

// MaxLe asks a card for everything it has, up to 256 bytes (encoded as Le = 00).
const MaxLe = 256

// Command is one command APDU (ISO/IEC 7816-4, 5.1).
type Command struct {
	CLA, INS, P1, P2 byte

	// Data is the command data field, at most [MaxData] bytes. Lc is its length.
	Data []byte

	// Le is the number of bytes expected in the answer, 1 to [MaxLe];
	// 0 means that the command carries no Le field.
	Le int
}

// Bytes encodes the command. It fails if Data or Le do not fit the short form.
func (c Command) Bytes() ([]byte, error) {
	if len(c.Data) > MaxData {
		return nil, fmt.Errorf("apdu: %d bytes of data in command %02X: a short command carries at most %d", len(c.Data), c.INS, MaxData)
	}
	if c.Le < 0 || c.Le > MaxLe {
		return nil, fmt.Errorf("apdu: Le %d in command %02X: want 0 to %d", c.Le, c.INS, MaxLe)
	}
	b := make([]byte, 0, 6+len(c.Data))
	b = append(b, c.CLA, c.INS, c.P1, c.P2)
	switch {
	case len(c.Data) > 0:
		b = append(b, byte(len(c.Data)))
		b = append(b, c.Data...)
		if c.Le > 0 {
			b = append(b, byte(c.Le))
		}
	case c.Le > 0:
		b = append(b, byte(c.Le))
	}
	return b, nil
}

// Parse decodes a short command APDU. It refuses anything whose length does not follow
// from its Lc byte. Data aliases b.
//
// The four cases of ISO/IEC 7816-3 (12.1.2) cannot all be told apart: five bytes are
// read as case 2 (the fifth is Le), which is also how T=0 delivers case 1 (Le = 00).
func Parse(b []byte) (Command, error) {
	if len(b) < 4 {
		return Command{}, fmt.Errorf("apdu: a command of %d bytes: a header has four", len(b))
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	switch body := b[4:]; {
	case len(body) == 0:
		return c, nil
	case len(body) == 1:
		c.Le = expected(body[0])
		return c, nil
	case body[0] == 0:
		return Command{}, fmt.Errorf("apdu: extended length in command %02X is not supported", c.INS)
	default:
		lc := int(body[0])
		switch len(body) - 1 {
		case lc:
		case lc + 1:
			c.Le = expected(body[len(body)-1])
		default:
			return Command{}, fmt.Errorf("apdu: command %02X says Lc %d and carries %d bytes", c.INS, lc, len(body)-1)
		}
		c.Data = body[1 : 1+lc]
		return c, nil
	}
}

// expected turns an encoded Le byte into a count: 00 stands for 256.
func expected(le byte) int {
	if le == 0 {
		return MaxLe
	}
	return int(le)
}

// String names the command by its header and sizes, never its data, which may be secret.
func (c Command) String() string {
	return fmt.Sprintf("%02X %02X %02X %02X (%d bytes)", c.CLA, c.INS, c.P1, c.P2, len(c.Data))
}
