package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/registry"
)

type (
	// SIMPath names a SIM.
	SIMPath struct {
		ICCID string `path:"iccid" pattern:"^[0-9]{18,20}$" patternDescription:"an ICCID of 18 to 20 digits" doc:"The SIM's ICCID."`
	}
	simInput  struct{ SIMPath }
	simChange struct {
		SIMPath
		Body api.Change
	}
	simAttributes struct {
		SIMPath
		Body api.AttributeChange
	}
	simMove struct {
		SIMPath
		Body api.Move
	}
	simReplacement struct {
		SIMPath
		Body api.Replacement
	}
	simsInput struct {
		Paging
		Fleet string `query:"fleet" maxLength:"64" doc:"Only SIMs of this fleet."`
		State string `query:"state" enum:"imported,seen,provisioned,suspended,terminated" doc:"Only SIMs in this state."`
	}
)

func (s *Server) addSIMs() {
	add(s, huma.Operation{
		OperationID: "list-sims", Method: http.MethodGet, Path: api.PathSIMs, Tags: []string{tagSIMs},
		Summary: "List SIMs", Description: "Lists SIMs by ICCID.",
	}, readers, func(ctx context.Context, in *simsInput) (*with[api.Page[api.SIM]], error) {
		fleet, err := listedFleet(ctx, in.Fleet)
		if err != nil {
			return nil, err
		}
		filter := registry.Filter{Fleet: fleet, State: api.SIMState(in.State)}
		return answerPage(s.services.Registry.SIMs(ctx, filter, in.After, in.Limit))
	})
	add(s, huma.Operation{
		OperationID: "get-sim", Method: http.MethodGet, Path: api.PathSIMs + "/{iccid}", Tags: []string{tagSIMs},
		Summary: "Get one SIM", Description: "Returns a SIM with its state.",
	}, readers, func(ctx context.Context, in *simInput) (*with[api.SIM], error) {
		return answer(s.services.Registry.SIM(ctx, in.ICCID))
	})

	add(s, huma.Operation{
		OperationID: "set-sim-attributes", Method: http.MethodPost, Path: api.PathSIMs + "/{iccid}/attributes", Tags: []string{tagSIMs},
		Summary: "Change a SIM's attributes",
		Description: "Sets and removes attributes, all of it or nothing; those that are not named stay. A SIM has at most 16, with keys of 1 to 32 of a-z, 0-9, '_', '.', '-' " +
			"and values of 1 to 64 bytes. Application servers hear of it at once. A repetition changes nothing.",
		RequestBody: exampleBody(map[string]any{"set": map[string]any{"tenant": "north", "site": "4711"}, "remove": []string{"spare"}}),
	}, writers, func(ctx context.Context, in *simAttributes) (*with[api.SIM], error) {
		return answer(s.services.Registry.SetAttributes(ctx, actor(ctx), in.ICCID, in.Body))
	})

	type change func(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error)
	for _, verb := range []struct {
		name, summary, description string
		apply                      change
	}{
		{"suspend", "Suspend a SIM", "None of the SIM's credentials is accepted until it is resumed.", s.services.Registry.Suspend},
		{"resume", "Resume a SIM", "Ends a suspension.", s.services.Registry.Resume},
		{"terminate", "Terminate a SIM", "Ends the SIM's life for good: its credentials are revoked, and it is never given another.", s.services.Registry.Terminate},
	} {
		add(s, huma.Operation{
			OperationID: verb.name + "-sim", Method: http.MethodPost, Path: api.PathSIMs + "/{iccid}/" + verb.name, Tags: []string{tagSIMs},
			Summary: verb.summary, Description: verb.description + " A repetition changes nothing.", RequestBody: exampleChange(),
		}, writers, func(ctx context.Context, in *simChange) (*with[api.SIM], error) {
			return answer(verb.apply(ctx, actor(ctx), in.ICCID, in.Body))
		})
	}
	add(s, huma.Operation{
		OperationID: "move-sim", Method: http.MethodPost, Path: api.PathSIMs + "/{iccid}/move", Tags: []string{tagSIMs},
		Summary:     "Move a SIM to another fleet",
		Description: "The SIM keeps its credential and gets one of the new fleet when it comes next. A repetition changes nothing.",
		RequestBody: exampleBody(map[string]any{"fleet": "meters-south", "note": "sold"}),
	}, writers, func(ctx context.Context, in *simMove) (*with[api.SIM], error) {
		if !principal(ctx).Sees(in.Body.Fleet) {
			return nil, refuse.UnknownFleet(in.Body.Fleet)
		}
		return answer(s.services.Registry.Move(ctx, actor(ctx), in.ICCID, in.Body))
	})
	add(s, huma.Operation{
		OperationID: "replace-sim", Method: http.MethodPost, Path: api.PathSIMs + "/{iccid}/replace", Tags: []string{tagSIMs},
		Summary:     "Replace a SIM",
		Description: "A SIM that has never come takes over the fleet of this one, which is terminated: both, or neither. Returns the new SIM. A repetition changes nothing.",
		RequestBody: exampleBody(map[string]any{"by": "8988211000000000025", "note": "water damage"}),
	}, writers, func(ctx context.Context, in *simReplacement) (*with[api.SIM], error) {
		if heir, err := s.services.Registry.SIM(ctx, in.Body.By); err == nil && !principal(ctx).Sees(heir.Fleet) {
			return nil, refuse.UnknownSIM(in.Body.By)
		}
		return answer(s.services.Registry.Replace(ctx, actor(ctx), in.ICCID, in.Body))
	})
	add(s, huma.Operation{
		OperationID: "revoke-sim", Method: http.MethodPost, Path: api.PathSIMs + "/{iccid}/revoke", Tags: []string{tagSIMs},
		Summary:     "Revoke a SIM's credentials",
		Description: "Revokes every credential of the SIM that is not at its end, and returns them on one page. The SIM itself stays.",
		RequestBody: exampleChange(),
	}, writers, func(ctx context.Context, in *simChange) (*with[api.Page[api.Credential]], error) {
		revoked, err := s.services.Credentials.RevokeSIM(ctx, actor(ctx), in.ICCID, in.Body)
		return answerPage(api.Page[api.Credential]{Items: revoked}, err)
	})
	s.addEnrolmentSecret()
}

// addEnrolmentSecret serves the making of secrets for enrolment over EST.
func (s *Server) addEnrolmentSecret() {
	add(s, huma.Operation{
		OperationID: "create-enrolment-secret", Method: http.MethodPost, Path: api.PathSIMs + "/{iccid}/enrolment-secret", Tags: []string{tagSIMs}, DefaultStatus: http.StatusCreated,
		Summary: "Make a one-time secret for EST",
		Description: "Makes the secret with which the SIM's device enrols once over EST, as the password to its ICCID, and shows it this once. " +
			"The one before it is good no longer.",
	}, writers, func(ctx context.Context, in *simInput) (*with[api.EnrolmentSecret], error) {
		return answer(s.services.Registry.NewEnrolmentSecret(ctx, actor(ctx), in.ICCID))
	})
}

func exampleChange() *huma.RequestBody {
	return exampleBody(map[string]any{"reason": "keyCompromise", "note": "device reported stolen"})
}
