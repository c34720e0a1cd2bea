package modem

import (
	"context"
	"fmt"

	"github.com/simroot/simroot/apdu"
)

const (
	masterFile = 0x3F00

	// P1 of SELECT (ETSI TS 102 221, 11.1.1).
	byFile = 0x00
	byPath = 0x08 // from the MF
)

// basicFile carries the few commands on channel 0 that AT+CRSM can: selecting a file
// under the MF, and reading it.
func (c *Card) basicFile(ctx context.Context, command []byte) ([]byte, error) {
	parsed, err := apdu.Parse(command)
	if err != nil {
		return only(apdu.WrongLength)
	}
	switch {
	case parsed.INS == insSelect && (parsed.P1 == byFile || parsed.P1 == byPath) && len(parsed.Data) == 2:
		c.file = uint16(parsed.Data[0])<<8 | uint16(parsed.Data[1])
		return only(apdu.OK) // if it does not exist, reading it will say so
	case parsed.INS == insReadBinary && len(parsed.Data) == 0 && c.file != 0 && c.file != masterFile:
		return c.crsm(ctx, parsed)
	}
	return only(apdu.InstructionNot)
}

func (c *Card) crsm(ctx context.Context, read apdu.Command) ([]byte, error) {
	// P3 is 0 for 256 bytes, as in the command.
	line := fmt.Sprintf("AT+CRSM=%d,%d,%d,%d,%d", read.INS, c.file, read.P1, read.P2, byte(read.Le))
	lines, err := c.command(ctx, line, read.INS)
	if err != nil {
		return nil, err
	}
	return findFile(lines)
}
