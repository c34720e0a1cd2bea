//go:build !unix

package image

import "os"

// take does nothing where files have no advisory locks: there it is up to the user to
// open an image only once.
func take(*os.File) error { return nil }
