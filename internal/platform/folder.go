package platform

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/simroot/simroot/internal/platform/keyfile"
)

// ErrNoPlatform: the folder holds no platform.
var ErrNoPlatform = errors.New("there is no platform here: initialise it first")

// folder is a data directory.
type folder string

func (f folder) path(parts ...string) string {
	return filepath.Join(append([]string{string(f)}, parts...)...)
}

func (f folder) anchors() string      { return f.path("ca.pem") }
func (f folder) ca() string           { return f.path("ca") }
func (f folder) keys() string         { return f.path("keys") }
func (f folder) kek() string          { return f.path("keys", "kek.key") }
func (f folder) keks() string         { return f.path("keys", "keks") }
func (f folder) transportKey() string { return f.path("keys", "transport.key") }
func (f folder) auditKey() string     { return f.path("keys", "audit.key") }
func (f folder) auditHead() string    { return f.path("audit.head") }
func (f folder) serverKey() string    { return f.path("keys", "server.key") }
func (f folder) serverChain() string  { return f.path("server.pem") }
func (f folder) database() string     { return f.path("platform.db") }
func (f folder) id() string           { return f.path("platform.id") }

// Initialized tells whether dir holds a complete platform. The trust anchor is what
// [Init] writes last.
func Initialized(dir string) bool {
	_, err := os.Stat(folder(dir).anchors())
	return err == nil
}

// checkKeys refuses key files that others may read, those that are seldom needed too.
func (f folder) checkKeys() error {
	for _, pattern := range []string{f.path("keys", "*"), f.path("ca", "*.key"), f.path("ca", "*", "*.key"), f.path("ca", "*.uri")} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, file := range files {
			if err := keyfile.Check(file); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace writes a public file so that it has either the old or the new content, also
// after a loss of power.
func replace(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // folders cannot be synced there
		return nil
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
