//go:build unix

package sqlite

import (
	"fmt"
	"os"
	"syscall"
)

// takeLock makes sure that one process at a time has a store open: a second one would not
// hear of the first one's events. The operating system lets go of it when the process
// ends, however that happens.
func takeLock(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use: another platform works on this folder (%w)", file, err)
	}
	return f, nil
}
