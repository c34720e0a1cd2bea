//go:build !unix

package lock

// File is a lock that is held.
type File struct{}

// Take does nothing here: this is not built for systems without flock yet, and what it protects
// is a waste of effort, or is protected by the system as well.
func Take(string) (*File, error) { return &File{}, nil }

// Note does nothing.
func (*File) Note(...string) error { return nil }

// Left is always empty.
func (*File) Left() []string { return nil }

// Restore does nothing.
func (*File) Restore() error { return nil }

// Close lets the next one have it.
func (*File) Close() error { return nil }
