package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
)

type tokenInput struct {
	ID string `path:"id" maxLength:"64" doc:"The token's identifier, which is not its secret."`
}

func (s *Server) addAccess() {
	add(s, huma.Operation{
		OperationID: "create-token", Method: http.MethodPost, Path: api.PathTokens, Tags: []string{tagAccess}, DefaultStatus: http.StatusCreated,
		Summary:     "Create a token",
		Description: "Makes a token. Its secret is in this answer and nowhere else: the platform keeps only a hash.",
		RequestBody: exampleBody(map[string]any{"name": "night shift", "role": "operator", "lifetime": "720h"}),
	}, admins, func(ctx context.Context, in *with[api.TokenRequest]) (*with[api.NewToken], error) {
		return answer(s.services.Tokens.Create(ctx, actor(ctx), in.Body))
	})
	add(s, huma.Operation{
		OperationID: "list-tokens", Method: http.MethodGet, Path: api.PathTokens, Tags: []string{tagAccess},
		Summary: "List the tokens", Description: "Lists the tokens, without their secrets.",
	}, admins, func(ctx context.Context, in *pageInput) (*with[api.Page[api.Token]], error) {
		return answerPage(s.services.Tokens.List(ctx, in.After, in.Limit))
	})
	add(s, huma.Operation{
		OperationID: "withdraw-token", Method: http.MethodDelete, Path: api.PathTokens + "/{id}", Tags: []string{tagAccess},
		Summary: "Withdraw a token", Description: "Makes a token useless at once.",
	}, admins, func(ctx context.Context, in *tokenInput) (*nothing, error) {
		return nil, s.services.Tokens.Withdraw(ctx, actor(ctx), in.ID)
	})
	add(s, huma.Operation{
		OperationID: "list-audit", Method: http.MethodGet, Path: api.PathAudit, Tags: []string{tagAccess},
		Summary: "List the audit trail", Description: "Lists the changes of state, oldest first: who made them, and why.",
	}, readers, func(ctx context.Context, in *pageInput) (*with[api.Page[api.AuditEntry]], error) {
		return answerPage(s.services.Audit.List(ctx, in.After, in.Limit))
	})
	add(s, huma.Operation{
		OperationID: "get-audit-head", Method: http.MethodGet, Path: api.PathAuditHead, Tags: []string{tagAccess},
		Summary:     "Get the head of the audit trail",
		Description: "Returns number and hash of the last entry that the platform has kept outside of its database, signed. Whoever keeps heads can tell later whether any entry up to there was altered, removed or moved.",
	}, readers, func(ctx context.Context, _ *nothing) (*with[api.AuditHead], error) {
		return answer(s.services.Audit.Head(ctx))
	})
}
