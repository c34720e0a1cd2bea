package store

import "github.com/simroot/simroot/api"

// CampaignSelection says which SIMs of a fleet a campaign still has to do with.
type CampaignSelection struct {
	Campaign api.Campaign
	// Canaries restricts it to the SIMs of its canary share.
	Canaries bool
	// Anchors, of a campaign for trust anchors, is the set that the SIMs are to hold.
	Anchors string
}

// Campaigns are the rows of campaigns, by ID, and of their results, by ICCID. What remains
// is no row: it is read from SIMs and credentials, so that it is right whatever happens
// to them.
type Campaigns interface {
	InsertCampaign(api.Campaign) error
	Campaign(id string) (api.Campaign, error)
	// ListCampaigns lists those of one fleet or, if it is empty, of all.
	ListCampaigns(fleet, after string, limit int) ([]api.Campaign, error)
	// OpenCampaigns are those that run or are paused, of one fleet or, if it is empty, of all.
	OpenCampaigns(fleet string) ([]api.Campaign, error)
	// UpdateCampaign changes State, Canary and Updated.
	UpdateCampaign(api.Campaign) error

	// CampaignRemaining counts the SIMs that remain.
	CampaignRemaining(CampaignSelection) (int, error)
	// CampaignNext returns the ICCIDs of some of them.
	CampaignNext(s CampaignSelection, limit int) ([]string, error)

	// SetCampaignSIM puts a result in the place of the one before, if there is one.
	SetCampaignSIM(campaign string, s api.CampaignSIM) error
	// CampaignSIM returns a result, or ErrNotFound.
	CampaignSIM(campaign, iccid string) (api.CampaignSIM, error)
	// ListCampaignSIMs lists the results in a state or, if it is empty, all.
	ListCampaignSIMs(campaign string, state api.CampaignSIMState, after string, limit int) ([]api.CampaignSIM, error)
	// CountCampaignSIMs counts the results in a state.
	CountCampaignSIMs(campaign string, state api.CampaignSIMState) (int, error)
	// ForgetFailed forgets the results of SIMs that have failed too often, and tells how many.
	ForgetFailed(campaign string) (int64, error)
}
