package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

type (
	// CampaignPath names a campaign.
	CampaignPath struct {
		ID string `path:"id" maxLength:"64" doc:"The campaign's identifier."`
	}
	campaignInput struct{ CampaignPath }
	campaignsList struct {
		Paging
		Fleet string `query:"fleet" maxLength:"64" doc:"Only campaigns of this fleet."`
	}
	campaignSIMs struct {
		CampaignPath
		Paging
		State string `query:"state" enum:"done,trying,failed" doc:"Only SIMs in this state."`
	}
	campaignChange struct {
		CampaignPath
		Body api.Change
	}
)

func (s *Server) addCampaigns() {
	add(s, huma.Operation{
		OperationID: "create-campaign", Method: http.MethodPost, Path: api.PathCampaigns, Tags: []string{tagCampaigns}, DefaultStatus: http.StatusCreated,
		Summary: "Begin a campaign",
		Description: "Rotates or renews the credentials of a fleet, brings the trust anchors to its SIMs, or revokes what they hold. " +
			"SIMs that hold an older credential, or other trust anchors, are due from now on, and done at their next visit. A fleet has one campaign at a time.",
		RequestBody: exampleBody(map[string]any{"fleet": "meters", "kind": "rotate", "canary": 5, "note": "library with weak random numbers"}),
	}, writers, func(ctx context.Context, in *with[api.CampaignRequest]) (*with[api.Campaign], error) {
		if !principal(ctx).Sees(in.Body.Fleet) {
			return nil, refuse.UnknownFleet(in.Body.Fleet)
		}
		return answer(s.services.Campaigns.Create(ctx, actor(ctx), in.Body))
	})
	add(s, huma.Operation{
		OperationID: "list-campaigns", Method: http.MethodGet, Path: api.PathCampaigns, Tags: []string{tagCampaigns},
		Summary: "List the campaigns", Description: "Lists campaigns, older ones first, without their progress.",
	}, readers, func(ctx context.Context, in *campaignsList) (*with[api.Page[api.Campaign]], error) {
		fleet, err := listedFleet(ctx, in.Fleet)
		if err != nil {
			return nil, err
		}
		return answerPage(s.services.Campaigns.List(ctx, fleet, in.After, in.Limit))
	})
	add(s, huma.Operation{
		OperationID: "get-campaign", Method: http.MethodGet, Path: api.PathCampaigns + "/{id}", Tags: []string{tagCampaigns},
		Summary: "Get one campaign", Description: "Returns a campaign with its progress.",
	}, readers, func(ctx context.Context, in *campaignInput) (*with[api.Campaign], error) {
		return answer(s.services.Campaigns.Campaign(ctx, in.ID))
	})
	add(s, huma.Operation{
		OperationID: "list-campaign-sims", Method: http.MethodGet, Path: api.PathCampaigns + "/{id}/sims", Tags: []string{tagCampaigns},
		Summary: "List a campaign's results", Description: "Lists what has become of the SIMs that have come, by ICCID.",
	}, readers, func(ctx context.Context, in *campaignSIMs) (*with[api.Page[api.CampaignSIM]], error) {
		return answerPage(s.services.Campaigns.Results(ctx, in.ID, api.CampaignSIMState(in.State), in.After, in.Limit))
	})
	for _, verb := range []struct {
		name                 api.CampaignVerb
		summary, description string
	}{
		{api.CampaignPause, "Pause a campaign", "No SIM is due until it is resumed."},
		{api.CampaignResume, "Resume a campaign", "Ends a pause."},
		{api.CampaignProceed, "Proceed to all SIMs", "Lets a campaign out of its canary share, though not all canaries are done."},
		{api.CampaignRetry, "Retry what has failed", "SIMs that have failed too often are due again, and no others."},
		{api.CampaignAbort, "Abort a campaign", "Ends it for good. What is done stays done."},
	} {
		add(s, huma.Operation{
			OperationID: string(verb.name) + "-campaign", Method: http.MethodPost, Path: api.PathCampaigns + "/{id}/" + string(verb.name), Tags: []string{tagCampaigns},
			Summary: verb.summary, Description: verb.description + " A repetition changes nothing.", RequestBody: exampleBody(map[string]any{"note": "two canaries fell silent"}),
		}, writers, func(ctx context.Context, in *campaignChange) (*with[api.Campaign], error) {
			return answer(s.services.Campaigns.Change(ctx, actor(ctx), in.ID, verb.name, in.Body))
		})
	}
}
