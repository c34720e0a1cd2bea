package httpapi

import (
	"context"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
)

// unnamed are the writes that take no idempotency key. A batch comes while it is read, too long for
// a transaction to wait for; imported again it is refused. Secrets are read, and what was read is not to
// be kept.
var unnamed = map[string]bool{"import-batch": true, "get-secrets": true}

// keyParameter describes the header that names a write.
func keyParameter() *huma.Param {
	least, most := 1, 128
	return &huma.Param{
		Name: api.HeaderIdempotencyKey, In: "header",
		Description: "Names this request. Repeated under the same key within 24 hours it is answered as the first time, and does nothing again. " +
			"While the first is still being carried out a repetition is refused, after some seconds, with 409 and the code in_progress: repeat it. " +
			"The same key for another request is refused with the code key_reused.",
		Schema:  &huma.Schema{Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: "^[!-~]+$"},
		Example: "5e0b1f0a-9c5e-4d8f-8d0e-0a7c2c1c6a55",
	}
}

type namedKey struct{}

// named is what a request says of its key, and how the answer says that it was given before.
type named struct {
	key      string
	replayed func()
}

// withKey notes the key of a request.
func withKey(ctx huma.Context) huma.Context {
	r, _ := humago.Unwrap(ctx)
	keys, given := r.Header[api.HeaderIdempotencyKey]
	if !given {
		return ctx
	}
	n := named{replayed: func() { ctx.SetHeader(api.HeaderReplayed, "true") }}
	if len(keys) == 1 {
		n.key = keys[0] // several are as bad as none
	}
	return huma.WithValue(ctx, namedKey{}, n)
}

// once makes an operation answer a request that is repeated under its key as the first time.
func once[I, O any](s *Server, operation string, serve func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		n, given := ctx.Value(namedKey{}).(named)
		if !given {
			return serve(ctx, in)
		}
		request, err := json.Marshal(struct {
			Operation string
			Input     *I
		}{operation, in})
		if err != nil {
			return nil, err
		}
		defer clear(request)
		var out *O
		text, repeated, err := s.services.Answers.Once(ctx, principal(ctx).ID, n.key, request, func(ctx context.Context) ([]byte, error) {
			if out, err = serve(ctx, in); err != nil {
				return nil, err
			}
			return json.Marshal(out)
		})
		if err != nil || !repeated {
			return out, err
		}
		n.replayed()
		defer clear(text)
		var before *O
		err = json.Unmarshal(text, &before)
		return before, err
	}
}
