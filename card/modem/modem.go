package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/lock"
)

// Mode is the way that APDUs take through the modem.
type Mode int

// The ways; [Auto] lets the modem and its quirks decide.
const (
	Auto Mode = iota
	CSIM      // AT+CSIM
	CGLA      // AT+CCHO, AT+CGLA and AT+CCHC
)

func (m Mode) String() string { return [...]string{"auto", "csim", "cgla"}[m] }

// Options say how to reach the SIM. The zero value is good for most modems.
type Options struct {
	Baud          int    // speed of the line; 0: 115200
	Mode          Mode   // how APDUs travel
	Model         string // take the quirks of this model; empty: ask the modem
	MaxAnswer     int    // see [Quirk.MaxAnswer]; 0: as the quirks say
	CloseLeftover bool   // close channels 1 to 3 at the start (see the package comment)
	LockDir       string // folder of the lock file; empty: the system's
}

// Info is what a modem says of itself.
type Info struct {
	Maker, Model, Firmware string // answers to AT+CGMI, AT+CGMM, AT+CGMR; empty where refused
	PIN                    string // answer to AT+CPIN?, for example READY or SIM PIN; empty if refused
	Mode                   Mode   // the way taken
	Quirks                 string // the sources of the quirks that apply
}

// Card is the SIM in a modem. It is safe for concurrent use.
//
// A call whose context ends returns at once. The SIM may still carry the command out;
// the next call waits until the modem is done with it.
type Card struct {
	card.Turn // for those who need several commands undisturbed; see card.Locker

	name string // of the device, for errors
	info Info
	lock *lock.File // nil: the port was open already

	busy  card.Turn // one exchange at a time; guards what follows
	line  *line
	quirk Quirk
	basic bool // AT+CSIM exists, for channel 0

	opened   [apdu.MaxChannel + 1]bool // CSIM: channels opened through us and not closed
	channels [apdu.MaxChannel + 1]channel
	file     uint16 // selected under the MF on channel 0, where AT+CSIM does not exist
	closed   bool
}

var (
	_ card.Conn   = (*Card)(nil)
	_ card.Locker = (*Card)(nil)
)

// closeWait bounds what Close does: waiting for an exchange that is under way, and closing
// the channels that are still open.
const closeWait = 5 * time.Second

// Open takes the modem at a serial port for this process and finds the way to its SIM.
//
// It fails with [ErrInUse], [ErrSilent], [ErrNoAccess], [ErrNoSIM], [ErrSIMFailure] or [ErrBusy].
func Open(ctx context.Context, device string, o Options) (*Card, error) {
	lock, err := lockDevice(device, o.LockDir)
	if err != nil {
		return nil, err
	}
	port, err := openPort(device, o.Baud)
	if err != nil {
		return nil, errors.Join(err, lock.Restore())
	}
	c, err := New(ctx, port, o)
	if err == nil {
		if err = c.closeAbandoned(ctx, lock.Left()); err != nil {
			err = errors.Join(err, c.line.close())
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", device, err), lock.Restore())
	}
	c.name, c.lock = device, lock
	c.noteOpen()
	return c, nil
}

// New speaks to a modem on a port that is open already. It owns the port from then on,
// and closes it if it fails.
func New(ctx context.Context, port io.ReadWriteCloser, o Options) (*Card, error) {
	c := &Card{Turn: card.NewTurn(), busy: card.NewTurn(), line: newLine(port), name: "modem"}
	if err := c.probe(ctx, o); err != nil {
		return nil, errors.Join(err, c.line.close())
	}
	return c, nil
}

// Info is what the modem said of itself when it was opened.
func (c *Card) Info() Info { return c.info }

// Transmit implements card.Card.
//
// It fails with a [CMEError] if the modem refused, and with [ErrTimeout], [ErrTorn] or
// [ErrBareOK] if it gave no proper answer.
func (c *Card) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if len(command) < 4 {
		return nil, fmt.Errorf("%s: a command of %d bytes: a header has four", c.name, len(command))
	}
	free, err := c.busy.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	if c.closed {
		return nil, fmt.Errorf("%s: %w", c.name, ErrClosed)
	}
	var answer []byte
	if c.info.Mode == CGLA {
		answer, err = c.routed(ctx, command)
	} else {
		answer, err = c.csim(ctx, command)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: command %02X: %w", c.name, command[1], err)
	}
	return answer, nil
}

// Close closes the channels that were opened through c and gives the modem back. It waits
// a little for an exchange that is under way.
func (c *Card) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	free, err := c.busy.Lock(ctx)
	if err != nil {
		_ = c.line.port.Close() // ends the exchange under way
		if free, err = c.busy.Lock(context.Background()); err != nil {
			return err
		}
	}
	defer free()
	if c.closed {
		return nil
	}
	c.closed = true
	c.closeChannels(ctx)
	err = c.line.close()
	if c.lock != nil {
		err = errors.Join(err, c.lock.Close())
	}
	return err
}
