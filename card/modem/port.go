package modem

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"go.bug.st/serial"
)

// defaultBaud is what most modems start with; over USB it does not matter.
const defaultBaud = 115200

// openPort opens a serial port in raw mode, eight bits, no parity, one stop bit.
func openPort(device string, baud int) (io.ReadWriteCloser, error) {
	if baud == 0 {
		baud = defaultBaud
	}
	port, err := serial.Open(device, &serial.Mode{BaudRate: baud, DataBits: 8})
	if err == nil {
		return port, nil
	}
	var why *serial.PortError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &portError{fs.ErrNotExist, "there is no serial port " + device + ": see that the modem is plugged in and switched on; ports are listed by ls /dev/tty*"}
	case !errors.As(err, &why):
	case why.Code() == serial.PermissionDenied:
		return nil, &portError{fs.ErrPermission, "this user may not open " + device + ": add it to the group that owns the port (on Debian: adduser USER dialout) and log in again"}
	case why.Code() == serial.PortBusy:
		return nil, fmt.Errorf("%s: %w by a program without a lock file; ModemManager is a usual one", device, ErrInUse)
	}
	return nil, fmt.Errorf("open the serial port %s at %d baud: %w", device, baud, err)
}

// portError is why a port cannot be opened, in words of our own.
type portError struct {
	kind error // of package fs
	text string
}

func (e *portError) Error() string { return e.text }
func (e *portError) Unwrap() error { return e.kind }
