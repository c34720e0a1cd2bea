package api

import (
	"context"
	"encoding/hex"
	"iter"
	"net/http"
	"time"
)

// PathTransportKeys is where transport keys for one batch each are made: POST
// [BatchKeyRequest] → [BatchKey], GET: [Page] of [BatchKey]; DELETE …/{key}: withdraws one.
const PathTransportKeys = "/v1/transport-keys"

// BatchKey is the public half of a transport key for one batch. The platform erases the private
// half once a batch was imported with it, or when it expires or is withdrawn.
type BatchKey struct {
	Key     []byte    `json:"key"` // X25519, 32 bytes; see [Seal]
	Note    string    `json:"note,omitempty"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"`
	Batch   string    `json:"batch,omitempty"` // the ID of the batch that it was used for
	// Withdrawn is zero unless it was withdrawn before it was used.
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

// BatchKeyRequest asks for a transport key.
type BatchKeyRequest struct {
	Note     string   `json:"note,omitempty" maxLength:"200"`
	Lifetime Duration `json:"lifetime,omitzero"` // 0: 30 days; at most 365
}

// NewBatchKey makes a transport key for one batch.
func (c *Client) NewBatchKey(ctx context.Context, r BatchKeyRequest) (BatchKey, error) {
	return post[BatchKey](ctx, c, PathTransportKeys, r)
}

// BatchKeys lists the transport keys for one batch each. A list ends at the first error.
func (c *Client) BatchKeys(ctx context.Context) iter.Seq2[BatchKey, error] {
	return list[BatchKey](ctx, c, PathTransportKeys, nil)
}

// WithdrawBatchKey makes a transport key that was not used yet useless at once, for good: its private half
// is erased.
func (c *Client) WithdrawBatchKey(ctx context.Context, key []byte) error {
	return c.call(ctx, http.MethodDelete, item(PathTransportKeys, hex.EncodeToString(key)), nil, nil, nil)
}
