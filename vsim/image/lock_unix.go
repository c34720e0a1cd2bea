//go:build unix

package image

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// take locks the file for this process, or fails at once with [ErrInUse]. The lock goes with the
// open file: closing it, or the end of the process, releases it.
func take(file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	return err
}
