package modem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/simroot/simroot/apdu"
)

const (
	insSelect        = 0xA4
	insManageChannel = 0x70
	insGetResponse   = 0xC0
	insReadBinary    = 0xB0
)

// retryPause is waited before a first repetition; each further one waits that much longer.
const retryPause = 200 * time.Millisecond

// csim passes a command to the SIM as it is.
func (c *Card) csim(ctx context.Context, command []byte) ([]byte, error) {
	if command[1] == insManageChannel && c.quirk.NoChannels {
		return apdu.Response{SW: apdu.InstructionNot}.Bytes(), nil
	}
	command = c.shape(command)
	answer, err := c.exchange(ctx, fmt.Sprintf(`AT+CSIM=%d,"%X"`, 2*len(command), command), "+CSIM:", command[1])
	if err == nil {
		c.note(command, answer)
	}
	return answer, err
}

// exchange sends a command line that carries an APDU with instruction ins, and returns the SIM's answer.
func (c *Card) exchange(ctx context.Context, commandLine, prefix string, ins byte) ([]byte, error) {
	lines, err := c.command(ctx, commandLine, ins)
	if err == nil {
		answer, err := findAnswer(lines, prefix)
		if errors.Is(err, ErrBareOK) && bytes.IndexByte(c.quirk.BareOK, ins) >= 0 {
			return apdu.Response{SW: apdu.OK}.Bytes(), nil
		}
		return answer, err
	}
	if err == plainError && c.quirk.ErrorSW != 0 {
		return apdu.Response{SW: c.quirk.ErrorSW}.Bytes(), nil
	}
	return nil, err
}

// command sends a command line and repeats it where that is safe and may help: the modem
// has said that the SIM did not get it.
func (c *Card) command(ctx context.Context, commandLine string, ins byte) ([]string, error) {
	limit := c.quirk.Deadline
	if bytes.IndexByte(slow, ins) >= 0 {
		limit = c.quirk.SlowDeadline
	}
	for try := 1; ; try++ {
		lines, err := c.line.do(ctx, commandLine, limit)
		switch {
		case err == CMEError(14) && try <= c.quirk.BusyRetries:
		case err == CMEError(0) && ins == insSelect && try <= c.quirk.SelectRetries:
		default:
			return lines, err
		}
		if err := pause(ctx, time.Duration(try)*retryPause); err != nil {
			return nil, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// shape gives a command the form that the modem carries. Without Le, an answer that is too
// long for the modem waits in the card and is fetched in parts.
func (c *Card) shape(command []byte) []byte {
	if !c.quirk.NoLe && c.quirk.MaxAnswer == 0 {
		return command
	}
	parsed, err := apdu.Parse(command)
	if err != nil || parsed.Le == 0 {
		return command // the card will say what is wrong with it
	}
	most := c.quirk.MaxAnswer
	switch {
	case len(parsed.Data) > 0:
		parsed.Le = 0
	case most == 0 || parsed.Le <= most:
		return command
	case parsed.INS == insGetResponse || parsed.INS == insReadBinary:
		parsed.Le = most
	default:
		parsed.Le = 0
	}
	shaped, err := parsed.Bytes()
	if err != nil {
		return command
	}
	return shaped
}

// note remembers the channels that are opened and closed over AT+CSIM.
func (c *Card) note(command, answer []byte) {
	if command[1] != insManageChannel {
		return
	}
	r, err := apdu.ParseResponse(answer)
	if err != nil || !r.SW.Succeeded() {
		return
	}
	switch {
	case command[2] == 0 && len(r.Data) == 1 && int(r.Data[0]) < len(c.opened):
		c.opened[r.Data[0]] = true
		c.noteOpen()
	case command[2] == 0x80 && int(command[3]) < len(c.opened):
		c.opened[command[3]] = false
		c.noteOpen()
	}
}
