//go:build !unix

package appserver

import (
	"fmt"
	"os"
	"runtime"
)

// lockFile refuses: without a lock two processes could spoil one journal.
func lockFile(path string) (*os.File, error) {
	return nil, fmt.Errorf("lock %s: not built for %s yet", path, runtime.GOOS)
}
