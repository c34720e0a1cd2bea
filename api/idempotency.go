package api

import "context"

// HeaderIdempotencyKey names a write, so that it can be repeated when its answer was lost: the same
// request under the same key is answered as the first time and does nothing again. A key is kept for
// 24 hours; with another request it is refused with [CodeKeyReused]. A request that was refused
// has changed nothing and is not kept. While the first is still being carried out the second waits, and after a few
// seconds is refused with [CodeInProgress]: it is to be repeated. The import of a batch takes no key: imported twice, it is refused.
const HeaderIdempotencyKey = "Idempotency-Key"

// HeaderReplayed stands, with the value true, in an answer that was given before.
const HeaderReplayed = "Idempotency-Replayed"

type idempotencyKey struct{}

// WithIdempotencyKey has a [Client] name the writes that are made with the context; see
// [HeaderIdempotencyKey]. It is for one write: several want keys of their own.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, idempotencyKey{}, key)
}
