package beside

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
)

// replace writes a file of a directory in one step, and tells whether its content is new. If that
// fails the file is as it was.
func replace(dir string, f File) (changed bool, err error) {
	mode := os.FileMode(0o644)
	if f.Secret {
		mode = 0o600
	}
	path := filepath.Join(dir, f.Name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, f.Content) {
		if info, err := os.Stat(path); err == nil && info.Mode().Perm() == mode {
			return false, nil
		}
	}
	file, err := os.CreateTemp(dir, f.Name+".*.new")
	if err != nil {
		return false, err
	}
	_, err = file.Write(f.Content)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
		return false, err
	}
	return true, syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what a process that was killed in the middle of replace has left behind.
func sweep(dir string, names map[string]struct{}) {
	for name := range names {
		left, _ := filepath.Glob(filepath.Join(dir, name+".*.new"))
		for _, path := range left {
			os.Remove(path)
		}
	}
}
