//go:build unix

package modem

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// lockFolders are where UUCP locks are, the usual one first.
var lockFolders = []string{"/run/lock", "/var/lock"}

// lockFile is a UUCP lock file (Filesystem Hierarchy Standard, 5.9): LCK.. and the
// device's name, holding the process id in ten characters and a line end. It is also locked by
// flock, which ends with the process however that ends, so that a file left behind does
// no harm.
type lockFile struct {
	file *os.File
	path string
}

// lockDevice takes a device for this process, or fails at once with [ErrInUse].
func lockDevice(device, folder string) (io.Closer, error) {
	if real, err := filepath.EvalSymlinks(device); err == nil {
		device = real // two names of one port are one port
	}
	name := "LCK.." + strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(device, "/dev/"), "/"), "/", "_")
	folders := lockFolders
	if folder != "" {
		folders = []string{folder}
	}
	var failed error
	for _, folder := range folders {
		l, err := takeLock(filepath.Join(folder, name))
		if err == nil || errors.Is(err, ErrInUse) {
			if err != nil {
				return nil, fmt.Errorf("%s: %w", device, err)
			}
			return l, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, fmt.Errorf("no lock file can be made for %s, so that another process could disturb: name a folder for it with lock=DIR in the card URI, the same for all who use the modem: %w", device, failed)
}

func takeLock(path string) (*lockFile, error) {
	for {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		held := errors.Is(err, unix.EWOULDBLOCK)
		owner := readOwner(file)
		if held || owner != os.Getpid() && alive(owner) {
			return nil, errors.Join(inUse(owner, path), file.Close())
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
		return &lockFile{file, path}, nil
	}
}

func inUse(owner int, path string) error {
	switch {
	case owner == os.Getpid():
		return fmt.Errorf("%w by this process already: close it first", ErrInUse)
	case owner > 0:
		return fmt.Errorf("%w by process %d%s: end that first (lock file %s)", ErrInUse, owner, programOf(owner), path)
	}
	return fmt.Errorf("%w by another process: end that first (lock file %s)", ErrInUse, path)
}

// programOf names a process where the system tells.
func programOf(pid int) string {
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (%s)", bytes.TrimSpace(name))
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

// Close removes the lock file and lets the next one have the device.
func (l *lockFile) Close() error {
	err := os.Remove(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Close())
}
