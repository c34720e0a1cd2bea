package api

import "context"

// PathKEKs tells how the platform's stored secrets are encrypted (GET: [KEKStatus]).
const PathKEKs = "/v1/keks"

// KEK is a key-encryption key, under which the platform stores secrets.
type KEK struct {
	ID   string `json:"id"`             // follows from the key; empty: of secrets stored without it, which are still to be moved
	Name string `json:"name,omitempty"` // its URI, without what may be secret in it
	// Current tells that new secrets go under it.
	Current bool `json:"current"`
	// Missing tells that the platform does not have it, and cannot open its secrets.
	Missing bool `json:"missing,omitempty"`
	Secrets int  `json:"secrets"` // how many are under it
}

// KEKStatus tells how far a change of the key-encryption key is: it is complete when all secrets
// are under the current one. Keep the older ones for as long as there are backups from before.
type KEKStatus struct {
	Keys   []KEK `json:"keys"`   // the current one first
	Moving bool  `json:"moving"` // secrets are being moved to the current one
}

// KEKs tells which key-encryption keys are in use and how many secrets are under each.
func (c *Client) KEKs(ctx context.Context) (KEKStatus, error) {
	return get[KEKStatus](ctx, c, PathKEKs)
}
