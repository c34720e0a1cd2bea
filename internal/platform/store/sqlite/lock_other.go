//go:build !unix

package sqlite

import "os"

// takeLock only opens the file: on this system nothing stops a second process.
func takeLock(file string) (*os.File, error) {
	return os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
}
