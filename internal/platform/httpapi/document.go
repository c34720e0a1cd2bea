package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// Health is what a healthy platform says of itself.
type Health struct {
	Status string `json:"status" enum:"ok"`
}

const openAPIType = "application/openapi+json"

// addPlatform serves the platform's health and the document that describes all operations,
// these two included. It comes last.
func (s *Server) addPlatform() error {
	add(s, huma.Operation{
		OperationID: "get-health", Method: http.MethodGet, Path: api.PathHealth, Tags: []string{tagPlatform},
		Summary: "Ask whether the platform works", Description: "Answers 503 if it does not. It needs no token.",
	}, public, func(ctx context.Context, _ *nothing) (*with[Health], error) {
		if err := s.services.Health(ctx); err != nil {
			s.log.ErrorContext(ctx, "the platform is not well", "request", requestID(ctx), "error", err)
			return nil, refuse.With(api.CodeInternal, http.StatusServiceUnavailable, "the platform cannot work now; its log tells why")
		}
		return answer(Health{"ok"}, nil)
	})
	add(s, huma.Operation{
		OperationID: "list-keks", Method: http.MethodGet, Path: api.PathKEKs, Tags: []string{tagPlatform},
		Summary: "Tell how far a change of the key-encryption key is",
		Description: "Lists the key-encryption keys in use, the current one first, with how many stored secrets are under each. " +
			"Those under another than the current key are moved in the background. It counts, which at a million secrets takes a second.",
	}, readers, func(ctx context.Context, _ *nothing) (*with[api.KEKStatus], error) {
		return answer(s.services.KEKs(ctx))
	})
	var document []byte
	add(s, huma.Operation{
		OperationID: "get-openapi", Method: http.MethodGet, Path: api.PathOpenAPI, Tags: []string{tagPlatform},
		Summary: "Get this document", Description: "Returns the OpenAPI 3.1 description of all operations. It needs no token.",
		Responses: answersWith(openAPIType, "An OpenAPI document"),
	}, public, func(context.Context, *nothing) (*raw, error) {
		return &raw{openAPIType, document}, nil
	})
	exemplify(s.api.OpenAPI())
	var err error
	document, err = json.Marshal(s.api.OpenAPI())
	return err
}

// schemaOf describes a type that huma meets in no operation by itself.
func (s *Server) schemaOf(v any) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, "")
}
