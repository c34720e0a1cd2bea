package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// ErrInUse says that another virtual SIM, perhaps in another process, has the file open.
var ErrInUse = errors.New("in use by another virtual SIM: stop that one first")

// errChanged says that the file was replaced between opening and locking it.
var errChanged = errors.New("keeps being replaced")

// File is an image that is open for writing. It is locked until [File.Close]: there is one
// card behind an image, not two. It is not safe for concurrent use.
//
// The lock sits on the image itself, so that nothing lies beside it; what replaces the
// image is locked before it takes its place. A killed process leaves no lock, and at most
// a file named like the image with ".new" behind it, which the next [Open] removes.
type File struct {
	path   string
	locked *os.File // the image as it is now
	vault  *vault   // nil: no passphrase
	broken error    // set when nobody knows what is on disk
}

// Create makes a new image, under a passphrase unless it is nil. It fails if the file exists.
func Create(path string, s State, p Passphrase) (*File, error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("card image %s: %w", path, err)
	}
	var v *vault
	if len(p) > 0 {
		var err error
		if v, err = newVault(p, usual); err != nil {
			return nil, err
		}
	}
	empty, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create card image: %w", err)
	}
	f, err := hold(path, empty)
	if err == nil {
		f.vault = v
		if err = f.Save(s); err == nil {
			return f, nil
		}
		_ = f.Close()
	}
	_ = os.Remove(path)
	return nil, err
}

// Open opens an image and returns its state. An image without a passphrase is opened
// whatever p is, and stays without. The error wraps [ErrInUse], [ErrDamaged],
// [ErrNoPassphrase] or [ErrWrongPassphrase] where that is the reason.
func Open(path string, p Passphrase) (*File, State, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, State{}, fmt.Errorf("open card image: %w", err)
	}
	f, err := openLocked(resolved)
	if err != nil {
		return nil, State{}, fmt.Errorf("card image %s: %w", path, err)
	}
	s, v, err := read(f.locked, p)
	if err != nil {
		_ = f.Close()
		return nil, State{}, fmt.Errorf("card image %s: %w", path, err)
	}
	f.vault = v
	_ = os.Remove(f.next()) // of a writer that was killed; we hold the lock
	return f, s, nil
}

// Read returns the state of an image without locking it: the state before or after a
// change that is under way.
func Read(path string, p Passphrase) (State, error) {
	file, err := os.Open(path)
	if err != nil {
		return State{}, fmt.Errorf("read card image: %w", err)
	}
	defer file.Close()
	s, _, err := read(file, p)
	if err != nil {
		return State{}, fmt.Errorf("card image %s: %w", path, err)
	}
	return s, nil
}

// openLocked opens and locks the file that has the given name at the time of the lock.
func openLocked(path string) (*File, error) {
	for range 100 {
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		f, err := hold(path, file)
		if !errors.Is(err, errChanged) {
			return f, err
		}
	}
	return nil, errChanged
}

// hold locks an open file and makes sure that it still is the one that path names. It closes
// the file if it fails.
func hold(path string, file *os.File) (*File, error) {
	err := take(file)
	if err == nil {
		err = sameFile(path, file)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &File{path: path, locked: file}, nil
}

func sameFile(path string, file *os.File) error {
	held, err := file.Stat()
	if err != nil {
		return err
	}
	named, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !os.SameFile(held, named) {
		return errChanged
	}
	return nil
}

func read(r io.Reader, p Passphrase) (State, *vault, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return State{}, nil, err
	}
	if len(b) > maxSize {
		return State{}, nil, fmt.Errorf("%w: it is larger than %d bytes", ErrDamaged, maxSize)
	}
	return decode(b, p)
}

// next is the file in which a new state is prepared.
func (f *File) next() string { return f.path + ".new" }

// Save puts a state in the place of the one on disk. When it returns nil the state is
// durable. When it fails before the switch the old state is still there; when it fails
// after that, nobody knows which one a loss of power would leave, and every later Save
// fails too: open the image again.
func (f *File) Save(s State) error {
	if f.broken != nil {
		return f.broken
	}
	b, err := encode(s, f.vault)
	if err != nil {
		return err
	}
	// Opened for each change, so that an image at rest takes one file descriptor, not two.
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return fmt.Errorf("write card image %s: %w", f.path, err)
	}
	defer dir.Close()
	file, err := f.prepare(b)
	if err != nil {
		_ = os.Remove(f.next())
		return fmt.Errorf("write card image %s: %w", f.path, err)
	}
	if err := os.Rename(f.next(), f.path); err != nil {
		_ = file.Close()
		_ = os.Remove(f.next())
		return fmt.Errorf("write card image %s: %w", f.path, err)
	}
	_ = f.locked.Close()
	f.locked = file
	if err := dir.Sync(); err != nil {
		f.broken = fmt.Errorf("card image %s: its last change may not outlive a loss of power, open it again: %w", f.path, err)
		return f.broken
	}
	return nil
}

// prepare writes, locks and syncs the file that takes the image's place.
func (f *File) prepare(b []byte) (*os.File, error) {
	file, err := os.OpenFile(f.next(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if err = take(file); err == nil {
		if _, err = file.Write(b); err == nil {
			if err = file.Sync(); err == nil {
				return file, nil
			}
		}
	}
	_ = file.Close()
	return nil, err
}

// Close releases the image.
func (f *File) Close() error { return f.locked.Close() }
