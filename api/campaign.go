package api

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// PathCampaigns is the collection of campaigns. GET: [Page] of [Campaign], POST:
// [CampaignRequest] → [Campaign]; GET …/{id}; GET …/{id}/sims?state=: [Page] of [CampaignSIM];
// POST …/{id}/pause, /resume, /proceed, /retry and /abort: [Campaign].
const PathCampaigns = "/v1/campaigns"

// CampaignKind is what a campaign does with the SIMs of a fleet.
type CampaignKind string

// The kinds.
const (
	RotateAll CampaignKind = "rotate" // a new key or PSK, and a credential for it
	RenewAll  CampaignKind = "renew"  // a new certificate for the same key
	AnchorAll CampaignKind = "anchor" // the platform's present trust anchors on the SIM
	RevokeAll CampaignKind = "revoke" // every credential revoked, by the platform alone
)

// CampaignState is where a campaign stands: running ⇄ paused → aborted, or running → finished.
type CampaignState string

// The states of a campaign.
const (
	CampaignRunning  CampaignState = "running"
	CampaignPaused   CampaignState = "paused"   // nothing happens until it is resumed
	CampaignAborted  CampaignState = "aborted"  // what is done stays done
	CampaignFinished CampaignState = "finished" // nothing remains
)

// CampaignRequest asks for a campaign.
type CampaignRequest struct {
	Fleet string       `json:"fleet" minLength:"1" maxLength:"64"`
	Kind  CampaignKind `json:"kind" enum:"rotate,renew,anchor,revoke"`
	// Canary is the share in percent with which it begins; nil: that of the fleet. 0: all at once.
	Canary *int `json:"canary,omitempty" minimum:"0" maximum:"99"`
	// Reason of a revocation.
	Reason RevocationReason `json:"reason,omitempty" enum:"unspecified,keyCompromise,affiliationChanged,superseded,cessationOfOperation,privilegeWithdrawn"`
	Note   string           `json:"note,omitempty" maxLength:"200"`
}

// Campaign does one thing with every SIM of a fleet that holds an older credential than the
// campaign, or older trust anchors than the platform's.
//
// SIMs come by themselves: a campaign marks them as due, and the next visit of each does it.
// See CheckIn of [Profile] for how soon that is.
type Campaign struct {
	ID    string        `json:"id"`
	Fleet string        `json:"fleet"`
	Kind  CampaignKind  `json:"kind"`
	State CampaignState `json:"state"`
	// Canary is the share in percent to which the campaign is held, 0 for all. The canaries are
	// the SIMs of whose ICCID the two digits before the last are below it. When all of them are
	// done the others follow by themselves; before, if told to proceed.
	Canary  int              `json:"canary,omitempty"`
	Reason  RevocationReason `json:"reason,omitempty"`
	Note    string           `json:"note,omitempty"`
	Actor   string           `json:"actor"`
	Created time.Time        `json:"created"`
	Updated time.Time        `json:"updated"`

	Progress *CampaignProgress `json:"progress,omitempty"` // of one campaign, not in lists
}

// CampaignProgress counts SIMs.
type CampaignProgress struct {
	Done int `json:"done"`
	// Remaining are all that it is not done with, and Canaries those of them that come first.
	Remaining int `json:"remaining"`
	Canaries  int `json:"canaries,omitempty"`
	// Failed are those of the remaining that have failed too often, and wait for a retry.
	Failed int `json:"failed"`
}

// CampaignAttempts is how often a campaign tries with one SIM, before it waits for a retry.
const CampaignAttempts = 3

// CampaignSIMState is what has become of a SIM in a campaign.
type CampaignSIMState string

// The states of a SIM in a campaign. One that has not come has none.
const (
	SIMDone   CampaignSIMState = "done"
	SIMTrying CampaignSIMState = "trying" // it has failed, and is tried again at its next visit
	SIMFailed CampaignSIMState = "failed" // it has failed [CampaignAttempts] times
)

// CampaignSIM is the result of one SIM.
type CampaignSIM struct {
	ICCID      string           `json:"iccid"`
	State      CampaignSIMState `json:"state"`
	Attempts   int              `json:"attempts"` // that have failed
	Problem    string           `json:"problem,omitempty"`
	Credential string           `json:"credential,omitempty"` // that it has got
	Updated    time.Time        `json:"updated"`
}

// CreateCampaign begins a campaign.
func (c *Client) CreateCampaign(ctx context.Context, r CampaignRequest) (Campaign, error) {
	return post[Campaign](ctx, c, PathCampaigns, r)
}

// Campaign fetches one campaign with its progress.
func (c *Client) Campaign(ctx context.Context, id string) (Campaign, error) {
	return get[Campaign](ctx, c, item(PathCampaigns, id))
}

// Campaigns lists the campaigns, older ones first. A list ends at the first error.
func (c *Client) Campaigns(ctx context.Context) iter.Seq2[Campaign, error] {
	return list[Campaign](ctx, c, PathCampaigns, nil)
}

// CampaignSIMs lists the results of a campaign by ICCID, or those in one state. A list ends at
// the first error.
func (c *Client) CampaignSIMs(ctx context.Context, id string, state CampaignSIMState) iter.Seq2[CampaignSIM, error] {
	return list[CampaignSIM](ctx, c, item(PathCampaigns, id, "sims"), url.Values{"state": {string(state)}})
}

// CampaignVerb is what may be done to a campaign.
type CampaignVerb string

// The verbs.
const (
	CampaignPause   CampaignVerb = "pause"   // until it is resumed
	CampaignResume  CampaignVerb = "resume"  //
	CampaignProceed CampaignVerb = "proceed" // to all SIMs, though not all canaries are done
	CampaignRetry   CampaignVerb = "retry"   // what has failed, and nothing else
	CampaignAbort   CampaignVerb = "abort"   // for good
)

// ChangeCampaign does something to a campaign and returns it as it is then. A repetition changes nothing.
func (c *Client) ChangeCampaign(ctx context.Context, id string, verb CampaignVerb, change Change) (out Campaign, err error) {
	err = c.call(ctx, http.MethodPost, item(PathCampaigns, id, string(verb)), nil, change, &out)
	return out, err
}
