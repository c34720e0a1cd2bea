// Package lock keeps two processes from using one thing: a serial port, a SIM. A lock is a file
// that names its owner, in the form of UUCP (Filesystem Hierarchy Standard, 5.9): the process
// id in ten characters and a line end, so that programs which know that form respect it too.
package lock

import (
	"fmt"
	"os"
)

// HeldError says that another has the lock.
type HeldError struct {
	Path    string
	Owner   int // its process id; 0 if the file does not tell
	program string
}

func (e *HeldError) Error() string { return "in use " + e.By() }

// By says who has the lock, and what to do about it.
func (e *HeldError) By() string {
	switch {
	case e.Owner == os.Getpid():
		return "by this process already: close it first"
	case e.Owner > 0 && e.program != "":
		return fmt.Sprintf("by process %d (%s): end that first (lock file %s)", e.Owner, e.program, e.Path)
	case e.Owner > 0:
		return fmt.Sprintf("by process %d: end that first (lock file %s)", e.Owner, e.Path)
	}
	return fmt.Sprintf("by another process: end that first (lock file %s)", e.Path)
}
