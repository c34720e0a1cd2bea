package store

import "time"

// TransportKey is the row of a transport key for one batch.
type TransportKey struct {
	ID      string // the public half, hexadecimal
	Note    string
	Secret  []byte // the private half, in an envelope, while it is of use
	Created time.Time
	Expires time.Time
	Used    time.Time // zero: not yet
	Batch   string    // what it was used for
	// Withdrawn is when it was withdrawn, before it was used; zero: it was not.
	Withdrawn time.Time
}

// TransportKeys are the rows of transport keys, by ID.
type TransportKeys interface {
	InsertTransportKey(TransportKey) error // ErrExists
	TransportKey(id string) (TransportKey, error)
	ListTransportKeys(after string, limit int) ([]TransportKey, error)
	// UseTransportKey notes what a key was used for and erases its private half. It
	// fails with ErrNotFound if the key was used before, or withdrawn.
	UseTransportKey(id, batch string, at time.Time) error
	// WithdrawTransportKey notes that a key is not to be used and erases its private half. It
	// fails with ErrNotFound if the key was used before, or withdrawn.
	WithdrawTransportKey(id string, at time.Time) error
	// ForgetTransportKeys erases the private halves of keys that have expired.
	ForgetTransportKeys(now time.Time) error
}
