//go:build !unix

package modem

import "github.com/simroot/simroot/card/lock"

// lockDevice does nothing: where this is built the system itself gives a serial port to
// one process only.
func lockDevice(string, string) (*lock.File, error) { return lock.Take("") }
