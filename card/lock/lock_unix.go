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
	left []byte // by a holder that ended without Close: its whole file
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
		left := readAll(file)
		owner := ownerIn(left)
		if held || owner != os.Getpid() && alive(owner) {
			return nil, errors.Join(&HeldError{Path: path, Owner: owner, program: programOf(owner)}, file.Close())
		}
		if err == nil && !sameFile(file, path) {
			file.Close() // its owner has removed it meanwhile
			continue
		}
		l := &File{file, path, left}
		if err == nil {
			err = l.Note(l.Left()...) // until this holder has taken care of them
		}
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		return l, nil
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

// maxSize is what is read of a lock file: its owner, and a few notes.
const maxSize = 4096

func readAll(file *os.File) []byte {
	text := make([]byte, maxSize)
	n, _ := file.ReadAt(text, 0)
	return text[:n]
}

// ownerIn is the process that a lock file names, 0 if none.
func ownerIn(text []byte) int {
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n") // notes, or other programs', follow
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

// notePrefix tells our notes from what other programs may write into the file.
const notePrefix = "simroot: "

// Note keeps notes in the lock file, in place of those before: what the next holder should
// know if this one ends without Close. None of them may hold a line end.
func (l *File) Note(notes ...string) error {
	text := fmt.Appendf(nil, "%10d\n", os.Getpid())
	for _, n := range notes {
		text = fmt.Appendf(text, "%s%s\n", notePrefix, n)
	}
	return l.write(text)
}

func (l *File) write(text []byte) error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt(text, 0)
	return err
}

// Left are the notes of the holder before, if it ended without Close.
func (l *File) Left() []string {
	var notes []string
	for line := range strings.Lines(string(l.left)) {
		if note, ours := strings.CutPrefix(line, notePrefix); ours && strings.HasSuffix(note, "\n") {
			notes = append(notes, strings.TrimSuffix(note, "\n"))
		}
	}
	return notes
}

// Restore gives the lock back as it was found, notes and all, for the next one to take care
// of what was left.
func (l *File) Restore() error {
	if len(l.Left()) == 0 {
		return l.Close()
	}
	return errors.Join(l.write(l.left), l.file.Close())
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
