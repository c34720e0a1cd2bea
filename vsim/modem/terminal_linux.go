package modem

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// How long an answer waits for a program that does not read: the first time, and again
// while it still does not. Then it is lost, as on a line without flow control.
const (
	patience     = time.Second
	lastPatience = 10 * time.Millisecond
)

// terminal is a pseudo-terminal seen from the modem.
//
// While no program has it open, the terminal itself holds the device open: otherwise
// reading fails at once, and nothing tells when the next program comes. With the first
// bytes of a program it lets go, so that it hears when the program closes the device.
type terminal struct {
	master *os.File
	device string   // the name that programs open
	held   *os.File // the device, while nobody else has it
	deaf   bool     // what was sent last was lost
}

func openTerminal() (*terminal, error) {
	master, held, err := pty.Open()
	if err != nil {
		return nil, err
	}
	t := &terminal{master: master, device: held.Name(), held: held}
	if err := errors.Join(makeRaw(held), makeInterruptible(master)); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Read waits for bytes of a program. [errHungUp] tells that it has closed the device.
func (t *terminal) Read(b []byte) (int, error) {
	n, err := t.master.Read(b)
	if errors.Is(err, syscall.EIO) {
		if err := t.hold(); err != nil {
			return 0, err
		}
		return 0, errHungUp
	}
	if n > 0 {
		err = errors.Join(err, t.letGo())
	}
	return n, err
}

// Write sends bytes to whoever has the device open. What nobody reads is dropped.
func (t *terminal) Write(b []byte) (int, error) {
	wait := patience
	if t.deaf {
		wait = lastPatience
	}
	if err := t.master.SetWriteDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	n, err := t.master.Write(b)
	t.deaf = errors.Is(err, os.ErrDeadlineExceeded)
	if t.deaf || errors.Is(err, syscall.EIO) {
		return len(b), nil
	}
	return n, err
}

// interrupt ends a Read.
func (t *terminal) interrupt() { _ = t.master.SetReadDeadline(time.Unix(1, 0)) }

// Close takes the terminal away.
func (t *terminal) Close() error { return errors.Join(t.letGo(), t.master.Close()) }

// hold opens the device, throws away what nobody has read, and makes it raw again: the
// program that left may have set it otherwise.
func (t *terminal) hold() error {
	held, err := os.OpenFile(t.device, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	t.held = held
	return errors.Join(makeRaw(held), flush(t.master, unix.TCOFLUSH), flush(held, unix.TCIFLUSH))
}

func (t *terminal) letGo() error {
	if t.held == nil {
		return nil
	}
	err := t.held.Close()
	t.held = nil
	return err
}

// makeRaw makes a terminal hand on bytes as they are, in both directions and without echo
// (termios(3), cfmakeraw).
func makeRaw(f *os.File) error {
	return control(f, func(fd int) error {
		s, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			return err
		}
		s.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		s.Oflag &^= unix.OPOST
		s.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		s.Cflag = s.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		s.Cc[unix.VMIN], s.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, unix.TCSETS, s)
	})
}

// makeInterruptible makes deadlines work, which they do not on a file that blocks: opening
// a pseudo-terminal has left it so.
func makeInterruptible(f *os.File) error {
	err := control(f, func(fd int) error { return unix.SetNonblock(fd, true) })
	return errors.Join(err, f.SetDeadline(time.Time{}))
}

func flush(f *os.File, queue int) error {
	return control(f, func(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, queue) })
}

// control reaches a file's descriptor without making it block.
func control(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	if outer := raw.Control(func(fd uintptr) { err = do(int(fd)) }); outer != nil {
		return outer
	}
	if err != nil {
		return fmt.Errorf("set up %s: %w", f.Name(), err)
	}
	return nil
}
