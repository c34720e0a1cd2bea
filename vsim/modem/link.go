package modem

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrOccupied says that something other than a symbolic link stands where the link to a
// modem should go. It is left alone.
var ErrOccupied = errors.New("something else is there: name a path that does not exist")

// makeLink makes path a symbolic link to a device, in place of a link that an earlier modem
// may have left there.
func makeLink(path, device string) error {
	switch info, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return err
	case info.Mode()&os.ModeSymlink == 0:
		return fmt.Errorf("%s: %w", path, ErrOccupied)
	}
	folder, err := os.MkdirTemp(filepath.Dir(path), ".modem-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	fresh := filepath.Join(folder, "link")
	if err := os.Symlink(device, fresh); err != nil {
		return err
	}
	return os.Rename(fresh, path) // nobody ever finds no link
}

// removeLink removes path, if it still is the link to device.
func removeLink(path, device string) error {
	target, err := os.Readlink(path)
	if err != nil || target != device {
		return nil
	}
	return os.Remove(path)
}
