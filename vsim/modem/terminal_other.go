//go:build !linux

package modem

import "errors"

type terminal struct{ device string }

// openTerminal fails: the ways of pseudo-terminals that the modem relies on are Linux's.
func openTerminal() (*terminal, error) { return nil, errors.ErrUnsupported }

func (*terminal) Read([]byte) (int, error)  { return 0, errors.ErrUnsupported }
func (*terminal) Write([]byte) (int, error) { return 0, errors.ErrUnsupported }
func (*terminal) interrupt()                {}
func (*terminal) Close() error              { return nil }
