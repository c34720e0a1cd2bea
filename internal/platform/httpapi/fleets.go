package httpapi

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
)

// FleetPath names a fleet.
type FleetPath struct {
	Name string `path:"name" maxLength:"64" doc:"The name of the fleet."`
}

type fleetInput struct{ FleetPath }

type fleetChange struct {
	FleetPath
	Body api.Fleet
}

func (s *Server) addFleets() {
	add(s, huma.Operation{
		OperationID: "create-fleet", Method: http.MethodPost, Path: api.PathFleets, Tags: []string{tagFleets}, DefaultStatus: http.StatusCreated,
		Summary:     "Create a fleet",
		Description: "Makes a set of SIMs under one credential profile. What the profile leaves open is filled with defaults, which the answer shows.",
		RequestBody: exampleBody(map[string]any{"name": "meters", "profile": map[string]any{"type": "certificate", "lifetime": "2160h"}}),
	}, admins, func(ctx context.Context, in *with[api.Fleet]) (*with[api.Fleet], error) {
		return answer(s.services.Registry.CreateFleet(ctx, actor(ctx), in.Body))
	})
	add(s, huma.Operation{
		OperationID: "list-fleets", Method: http.MethodGet, Path: api.PathFleets, Tags: []string{tagFleets},
		Summary: "List the fleets", Description: "Lists the fleets by name.",
	}, readers, func(ctx context.Context, in *pageInput) (*with[api.Page[api.Fleet]], error) {
		page, err := s.services.Registry.Fleets(ctx, in.After, in.Limit)
		page.Items = slices.DeleteFunc(page.Items, func(f api.Fleet) bool { return !principal(ctx).Sees(f.Name) })
		return answerPage(page, err)
	})
	add(s, huma.Operation{
		OperationID: "get-fleet", Method: http.MethodGet, Path: api.PathFleets + "/{name}", Tags: []string{tagFleets},
		Summary: "Get one fleet", Description: "Returns a fleet with its credential profile.",
	}, readers, func(ctx context.Context, in *fleetInput) (*with[api.Fleet], error) {
		return answer(s.services.Registry.Fleet(ctx, in.Name))
	})
	add(s, huma.Operation{
		OperationID: "update-fleet", Method: http.MethodPut, Path: api.PathFleets + "/{name}", Tags: []string{tagFleets},
		Summary: "Change a fleet's profile",
		Description: "Puts another profile in the place of the fleet's. SIMs follow at their next renewal. Type, slots and trust anchor stay while the fleet has SIMs. " +
			"With a version, the change is refused if another came first. A repetition changes nothing.",
		RequestBody: exampleBody(map[string]any{"name": "meters", "version": 1, "profile": map[string]any{"type": "certificate", "lifetime": "720h", "renewal": "renew", "check_in": "24h"}}),
	}, admins, func(ctx context.Context, in *fleetChange) (*with[api.Fleet], error) {
		return answer(s.services.Registry.UpdateFleet(ctx, actor(ctx), in.Name, in.Body))
	})
	s.addBatches()
}

// exampleBody describes a JSON body by an example; huma adds the schema.
func exampleBody(example any) *huma.RequestBody {
	return &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Example: example}}}
}
