package card

import "context"

// Turn is a [Locker] for implementations of [Conn] to embed. Its zero value is not ready:
// use [NewTurn].
type Turn chan struct{}

// NewTurn returns a turn that nobody has.
func NewTurn() Turn { return make(Turn, 1) }

// Lock waits for the turn until ctx ends. unlock passes it on, and must be called once.
func (t Turn) Lock(ctx context.Context) (unlock func(), err error) {
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	default:
	}
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
