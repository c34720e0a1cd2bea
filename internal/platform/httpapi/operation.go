package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/iotsafe"
)

// Limits on bodies, in bytes.
const (
	maxRelayBody = 64 << 10
	maxAdminBody = 1 << 20
	maxBatchBody = 1 << 30
)

// The groups of operations in the OpenAPI document.
const (
	tagRelay       = "Relay"
	tagEST         = "EST"
	tagFeed        = "Feed"
	tagFleets      = "Fleets"
	tagSIMs        = "SIMs"
	tagCredentials = "Credentials"
	tagCampaigns   = "Campaigns"
	tagTrust       = "Trust"
	tagAccess      = "Access"
	tagPlatform    = "Platform"
)

// newAPI begins the OpenAPI document.
func newAPI(mux *http.ServeMux) huma.API {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	schemas.RegisterTypeAlias(reflect.TypeFor[api.Duration](), reflect.TypeFor[durationText]())
	schemas.RegisterTypeAlias(reflect.TypeFor[iotsafe.ID](), reflect.TypeFor[identifierText]())
	format := huma.Format{Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}
	return humago.New(mux, huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "simroot security services platform",
				Version: "1",
				Description: "Provisions SIMs with credentials and manages their life cycle. " +
					"Refusals are problem documents (RFC 9457) whose code is stable and meant for programs.",
			},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "A token of the platform. Its role decides what it may do."},
				},
			},
			Tags: []*huma.Tag{
				{Name: tagRelay, Description: "The switch-on walk, between a device's agent and the platform."},
				{Name: tagEST, Description: "Enrolment over Secure Transport (RFC 7030, RFC 8951), for devices without an agent. The label is the fleet."},
				{Name: tagFeed, Description: "The ordered stream of changes that application servers follow."},
				{Name: tagFleets, Description: "Sets of SIMs under one credential profile, and the import of batches into them."},
				{Name: tagSIMs, Description: "SIMs and their life cycle."},
				{Name: tagCredentials, Description: "Credentials and their life cycle."},
				{Name: tagCampaigns, Description: "One thing for all SIMs of a fleet, at their next visits."},
				{Name: tagTrust, Description: "What others need in order to trust the platform and its credentials."},
				{Name: tagAccess, Description: "Tokens, and the record of what was done with them."},
				{Name: tagPlatform, Description: "The platform itself."},
			},
		},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	})
}

// add serves an operation to those who have one of the roles, and describes it.
func add[I, O any](s *Server, op huma.Operation, roles []api.Role, serve func(context.Context, *I) (*O, error)) {
	if roles != nil {
		names := make([]string, len(roles))
		for i, r := range roles {
			names[i] = string(r)
		}
		op.Security = []map[string][]string{{"bearer": names}}
		op.Description += " Roles: " + roleList(roles) + "."
		op.Middlewares = huma.Middlewares{s.only(roles)}
	} else if op.OperationID != "get-health" {
		op.Middlewares = huma.Middlewares{s.limited}
	}
	op.Middlewares = append(huma.Middlewares{naming(op.OperationID)}, op.Middlewares...)
	if roles != nil && op.Method != http.MethodGet && !unnamed[op.OperationID] {
		op.Parameters = append(op.Parameters, keyParameter())
		serve = once(s, op.OperationID, serve)
	}
	if op.MaxBodyBytes == 0 {
		op.MaxBodyBytes = maxAdminBody
	}
	op.MaxBodyBytes++ // huma refuses a body of exactly the limit
	op.BodyReadTimeout = readTimeout
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := serve(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		return out, nil
	})
}

// Inputs and outputs that many operations share.
type (
	nothing     struct{}
	with[T any] struct{ Body T }
	// Paging is the place in a list.
	Paging struct {
		After string `query:"after" maxLength:"200" doc:"Where the page begins: what the page before gave as next."`
		Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"The most items on the page."`
	}
	pageInput struct{ Paging }
)

// answer wraps what a service returns.
func answer[T any](body T, err error) (*with[T], error) {
	if err != nil {
		return nil, err
	}
	return &with[T]{body}, nil
}

// answerPage is answer for a list, which is never null.
func answerPage[T any](page api.Page[T], err error) (*with[api.Page[T]], error) {
	if page.Items == nil {
		page.Items = []T{}
	}
	return answer(page, err)
}

// raw is an answer that is not JSON.
type raw struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// answersWith describes an answer that is not JSON.
func answersWith(contentType, description string) map[string]*huma.Response {
	return map[string]*huma.Response{"200": {
		Description: description,
		Content:     map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: "string", Format: "binary"}}},
	}}
}

// durationText describes [api.Duration].
type durationText string

// Schema implements [huma.SchemaProvider].
func (durationText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`,
		PatternDescription: "a duration such as 2160h", Examples: []any{"2160h"}}
}

// identifierText describes [iotsafe.ID].
type identifierText string

// Schema implements [huma.SchemaProvider].
func (identifierText) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Pattern: `^([0-9A-Fa-f]{2}){1,20}$`,
		PatternDescription: "an identifier of 1 to 20 bytes in hexadecimal", Examples: []any{"01"}}
}

// unmarshal is json.Unmarshal with errors that name the field that is wrong.
func unmarshal(data []byte, v any) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		return nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(data, &fields) != nil {
		return err
	}
	for name, value := range fields {
		one, _ := json.Marshal(map[string]json.RawMessage{name: value})
		if err := json.Unmarshal(one, reflect.New(reflect.TypeOf(v).Elem()).Interface()); err != nil {
			return &fieldError{name, err}
		}
	}
	return err
}

// fieldError says which field of a body is wrong.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return e.field + ": " + e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }
