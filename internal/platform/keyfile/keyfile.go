// Package keyfile keeps private keys in files that only their owner may read.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// maxSize bounds a key file, in bytes.
const maxSize = 64 << 10

// Write makes a new file with mode 0600 and returns when it is on disk. It never
// replaces a file.
func Write(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(file)
		return err
	}
	return SyncFolder(filepath.Dir(file))
}

// SyncFolder makes sure that the names of new files in a folder are on disk too.
func SyncFolder(dir string) error {
	if runtime.GOOS == "windows" { // folders cannot be synced there
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Read reads a private file and refuses one that others than its owner may read or write.
func Read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkMode(file, info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes: this is no key", file, maxSize)
	}
	return content, nil
}

// Replace puts other content in the place of a file's, or makes the file, with mode 0600: after
// a loss of power it has the one or the other.
func Replace(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(file))
}

// Check refuses a private file that others than its owner may read or write.
func Check(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return checkMode(file, info)
}

func checkMode(file string, info fs.FileInfo) error {
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%s has mode %04o: a private key that others can read is no secret; if you trust it still, run chmod 600 on it", file, mode)
	}
	return nil
}
