//go:build unix

package lock

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// File is a lock that is held.
type File struct {
	file *os.File
	path string
}

// Take takes a lock for this process, or fails at once with a [*HeldError]. The file is also
// locked by flock, which ends with the process however that ends, so that a file left behind
// does no harm.
func Take(path string) (*File, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		held := errors.Is(err, unix.EWOULDBLOCK)
		owner := readOwner(file)
		if held || owner != os.Getpid() && alive(owner) {
			return nil, errors.Join(&HeldError{Path: path, Owner: owner, program: programOf(owner)}, file.Close())
		}
		if err == nil && !sameFile(file, path) {
			file.Close() // its owner has removed it meanwhile
			continue
		}
		if err == nil {
			err = writeOwner(file)
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return &File{file, path}, nil
	}
}

// programOf names a process where the system tells.
func programOf(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(name))
}

// readOwner is the process that a lock file names, 0 if none.
func readOwner(file *os.File) int {
	var text [64]byte
	n, _ := file.ReadAt(text[:], 0)
	first, _, _ := strings.Cut(strings.TrimSpace(string(text[:n])), "\n") // some add more lines
	fields := strings.Fields(first)
	if len(fields) == 0 {
		return 0
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}

func writeOwner(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendf(nil, "%10d\n", os.Getpid()), 0)
	return err
}

func alive(pid int) bool {
	return pid > 0 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// sameFile tells whether path still names the open file.
func sameFile(file *os.File, path string) bool {
	opened, err1 := file.Stat()
	named, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(opened, named)
}

// Close removes the lock file and lets the next one have it.
func (l *File) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Close())
}
