package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
)

type appServerInput struct {
	ID string `path:"id" maxLength:"64" doc:"The application server's identifier."`
}

func (s *Server) addAppServers() {
	add(s, huma.Operation{
		OperationID: "invite-appserver", Method: http.MethodPost, Path: api.PathAppServers, Tags: []string{tagAccess}, DefaultStatus: http.StatusCreated,
		Summary: "Invite an application server",
		Description: "Makes a one-time token with which an application server registers. It is in this answer and nowhere else: the platform keeps only a hash. " +
			"Fleets restrict what the application server will know; none: all.",
		RequestBody: exampleBody(map[string]any{"name": "broker", "fleets": []string{"meters"}}),
	}, admins, func(ctx context.Context, in *with[api.Invitation]) (*with[api.NewAppServer], error) {
		return answer(s.services.AppServers.Invite(ctx, actor(ctx), in.Body))
	})
	add(s, huma.Operation{
		OperationID: "list-appservers", Method: http.MethodGet, Path: api.PathAppServers, Tags: []string{tagAccess},
		Summary: "List the application servers", Description: "Lists those that were invited or have registered, and were not withdrawn.",
	}, readers, func(ctx context.Context, in *pageInput) (*with[api.Page[api.AppServer]], error) {
		return answerPage(s.services.AppServers.List(ctx, in.After, in.Limit))
	})
	add(s, huma.Operation{
		OperationID: "withdraw-appserver", Method: http.MethodDelete, Path: api.PathAppServers + "/{id}", Tags: []string{tagAccess},
		Summary:     "Withdraw an application server",
		Description: "Makes its certificate, or its one-time token, useless at once, and ends its feed. A repetition changes nothing.",
	}, admins, func(ctx context.Context, in *appServerInput) (*nothing, error) {
		return nil, s.services.AppServers.Withdraw(ctx, actor(ctx), in.ID)
	})
	add(s, huma.Operation{
		OperationID: "register-appserver", Method: http.MethodPost, Path: api.PathRegisterAppServer, Tags: []string{tagAccess},
		Summary: "Register an application server",
		Description: "Trades a one-time token for a TLS client certificate, which from then on takes the place of a bearer token, with the role appserver. " +
			"It needs no other token. Of the PKCS#10 request only the key and the proof of possession count. With the same key it may be repeated until the token ends.",
		MaxBodyBytes: maxRelayBody,
	}, public, func(ctx context.Context, in *with[api.Registration]) (*with[api.Registered], error) {
		return answer(s.services.AppServers.Register(ctx, in.Body))
	})
	add(s, huma.Operation{
		OperationID: "renew-appserver", Method: http.MethodPost, Path: api.PathRenewAppServer, Tags: []string{tagAccess},
		Summary:     "Renew an application server's certificate",
		Description: "Issues a further certificate for the key of the application server that asks, by its certificate. The one before it is good until its end.",
	}, []api.Role{api.RoleAppServer}, func(ctx context.Context, _ *nothing) (*with[api.Registered], error) {
		return answer(s.services.AppServers.Renew(ctx, principal(ctx)))
	})
}
