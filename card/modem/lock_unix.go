//go:build unix

package modem

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/simroot/simroot/card/lock"
)

// lockFolders are where UUCP locks are, the usual one first.
var lockFolders = []string{"/run/lock", "/var/lock"}

// lockDevice takes a device for this process, or fails at once with [ErrInUse]. The lock is
// named LCK.. and the device's name (Filesystem Hierarchy Standard, 5.9).
func lockDevice(device, folder string) (*lock.File, error) {
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
		l, err := lock.Take(filepath.Join(folder, name))
		if err == nil {
			return l, nil
		}
		if held, ok := errors.AsType[*lock.HeldError](err); ok {
			return nil, fmt.Errorf("%s: %w %s", device, ErrInUse, held.By())
		}
		failed = errors.Join(failed, err)
	}
	return nil, fmt.Errorf("no lock file can be made for %s, so that another process could disturb: name a folder for it with lock=DIR in the card URI, the same for all who use the modem: %w", device, failed)
}
