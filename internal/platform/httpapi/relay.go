package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
)

type answersInput struct {
	Session string `path:"session" maxLength:"64" doc:"The session, as opening it told."`
	Body    api.RelayAnswers
}

// addRelay serves the switch-on walk. It takes no token: the SIM proves itself.
func (s *Server) addRelay() {
	add(s, huma.Operation{
		OperationID: "open-relay", Method: http.MethodPost, Path: api.PathRelay, Tags: []string{tagRelay},
		Summary: "Open a relay session",
		Description: "A device's agent begins the onboarding of its SIM and receives the first sealed commands for the card. " +
			"It needs no token: the SIM proves itself through the secure channel.",
		MaxBodyBytes: maxRelayBody,
	}, public, func(ctx context.Context, in *with[api.RelayOpen]) (*with[api.RelayStep], error) {
		if err := s.admitSIM(in.Body.ICCID); err != nil {
			return nil, err
		}
		return answer(s.services.Relay.Open(ctx, in.Body))
	})
	add(s, huma.Operation{
		OperationID: "answer-relay", Method: http.MethodPost, Path: api.PathRelay + "/{session}", Tags: []string{tagRelay},
		Summary: "Report what the card answered",
		Description: "The agent reports the card's answers to a step and receives the next step, or the result. " +
			"A repetition is answered with the same step.",
		MaxBodyBytes: maxRelayBody,
	}, public, func(ctx context.Context, in *answersInput) (*with[api.RelayStep], error) {
		return answer(s.services.Relay.Answer(ctx, in.Session, in.Body))
	})
	// An agent of another version may say more, and is told so by the relay, not by
	// the form of its request.
	for _, name := range []string{"RelayOpen", "RelayAnswers"} {
		s.api.OpenAPI().Components.Schemas.Map()[name].AdditionalProperties = true
	}
}
