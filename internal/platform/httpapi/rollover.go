package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
)

func (s *Server) addRollover() {
	add(s, huma.Operation{
		OperationID: "get-ca-rollover", Method: http.MethodGet, Path: api.PathRollover, Tags: []string{tagTrust},
		Summary: "Get the CA's rollover", Description: "Tells which CA issues, which follows or went before, and how many SIMs lack the present roots.",
	}, readers, func(ctx context.Context, _ *nothing) (*with[api.CARollover], error) {
		return answer(s.services.Rollover.Status(ctx))
	})
	add(s, huma.Operation{
		OperationID: "begin-ca-rollover", Method: http.MethodPost, Path: api.PathRollover, Tags: []string{tagTrust},
		Summary:     "Begin a CA rollover",
		Description: "Makes the next CA. Both are published at once, the old one goes on issuing. SIMs get the new root when they come: with the next credential, or in an anchor campaign. A repetition changes nothing.",
		RequestBody: exampleBody(map[string]any{"note": "the root is ten years old"}),
	}, admins, func(ctx context.Context, in *with[api.Change]) (*with[api.CARollover], error) {
		return answer(s.services.Rollover.Begin(ctx, actor(ctx), in.Body))
	})
	add(s, huma.Operation{
		OperationID: "finish-ca-rollover", Method: http.MethodPost, Path: api.PathRollover + "/finish", Tags: []string{tagTrust},
		Summary:     "Finish a CA rollover",
		Description: "Lets the new CA issue. Refused while SIMs lack the new root, unless forced. The old one stays published until its last certificate has ended. A repetition changes nothing.",
		RequestBody: exampleBody(map[string]any{"force": false}),
	}, admins, func(ctx context.Context, in *with[api.FinishRollover]) (*with[api.CARollover], error) {
		return answer(s.services.Rollover.Finish(ctx, actor(ctx), in.Body))
	})
	add(s, huma.Operation{
		OperationID: "abort-ca-rollover", Method: http.MethodPost, Path: api.PathRollover + "/abort", Tags: []string{tagTrust},
		Summary:     "Abort a CA rollover",
		Description: "Gives the new CA up and destroys its keys. A repetition changes nothing.",
		RequestBody: exampleBody(map[string]any{"note": "begun by mistake"}),
	}, admins, func(ctx context.Context, in *with[api.Change]) (*with[api.CARollover], error) {
		return answer(s.services.Rollover.Abort(ctx, actor(ctx), in.Body))
	})
}
