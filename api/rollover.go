package api

import (
	"context"
	"net/http"
	"time"
)

// PathRollover is the rollover from one CA to the next. GET: [CARollover]; POST: [Change] begins
// one; POST …/finish: [FinishRollover]; POST …/abort: [Change].
const PathRollover = "/v1/ca/rollover"

// RolloverState is where the CA stands between one and the next.
type RolloverState string

// The states of a rollover.
const (
	NoRollover       RolloverState = "none"
	RolloverBegun    RolloverState = "begun"    // both are trusted, the old one issues
	RolloverFinished RolloverState = "finished" // both are trusted, the new one issues
)

// CARollover tells where the rollover stands. CAs are called by the names of their roots.
type CARollover struct {
	State   RolloverState `json:"state"`
	Issuing string        `json:"issuing"`
	Next    string        `json:"next,omitempty"`
	Before  string        `json:"before,omitempty"`
	Since   time.Time     `json:"since,omitzero"`
	// Until is when the last certificate of Before has ended; then it counts no more.
	Until time.Time `json:"until,omitzero"`
	// CrossSigned tells that the old root has signed the new one: who knows only the old one, an agent
	// for example, trusts the platform still when the new CA issues.
	CrossSigned bool `json:"cross_signed,omitempty"`
	// Without is how many SIMs of each fleet do not hold the present roots.
	Without map[string]int `json:"without"`
}

// FinishRollover asks for the end of a rollover.
type FinishRollover struct {
	// Force finishes it though SIMs lack the new root.
	Force bool `json:"force,omitempty"`
	Change
}

// Rollover tells where the CA stands.
func (c *Client) Rollover(ctx context.Context) (CARollover, error) {
	return get[CARollover](ctx, c, PathRollover)
}

// BeginRollover makes the CA that is to follow the present one.
func (c *Client) BeginRollover(ctx context.Context, why Change) (CARollover, error) {
	return post[CARollover](ctx, c, PathRollover, why)
}

// FinishRollover lets the new CA issue.
func (c *Client) FinishRollover(ctx context.Context, f FinishRollover) (CARollover, error) {
	return post[CARollover](ctx, c, PathRollover+"/finish", f)
}

// AbortRollover gives the new CA up.
func (c *Client) AbortRollover(ctx context.Context, why Change) (out CARollover, err error) {
	err = c.call(ctx, http.MethodPost, PathRollover+"/abort", nil, why, &out)
	return out, err
}
