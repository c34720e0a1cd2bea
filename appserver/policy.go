package appserver

import "fmt"

// Policy is an application server's own word on a credential that the platform accepts: an error,
// which ends up in what [Middleware.Lookup] and failed handshakes return, beside
// [ErrDenied], denies it. It is asked in every handshake, and for live connections when something
// changes about their SIM, every ten seconds (so that it may depend on the time), and by
// [Middleware.Reconsider]; connections that it denies are closed.
//
// It is called by many goroutines at once, must return at once, and must not wait for the
// middleware.
type Policy func(Identity) error

// denied asks the policy.
func (m *Middleware) denied(id Identity) error {
	if m.policy == nil {
		return nil
	}
	if err := m.policy(id); err != nil {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return nil
}

// Reconsider asks the policy about every live connection, and closes those that it now denies. Call
// it when what the policy depends on has changed.
func (m *Middleware) Reconsider() { m.live.cutAll(m.cutReason) }
