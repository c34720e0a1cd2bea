package beside

import (
	"bytes"
	"os"
	"path/filepath"

	"github.com/simroot/simroot/appserver/internal/durable"
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
	if err := durable.Replace(path, f.Content, mode); err != nil {
		return false, err
	}
	return true, nil
}

// sweep removes what a process that was killed in the middle of replace has left behind.
func sweep(dir string, names map[string]struct{}) {
	for name := range names {
		left, _ := filepath.Glob(filepath.Join(dir, name+durable.Pattern))
		for _, path := range left {
			os.Remove(path)
		}
	}
}
