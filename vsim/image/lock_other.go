//go:build !unix

package image

import "os"

// lock does nothing where files have no advisory locks: there it is up to the user to
// open an image only once.
func lock(*os.File) error { return nil }
