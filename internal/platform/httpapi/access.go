package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/token"
)

// Who may do what. An operation open to everyone has no roles: see [public].
var (
	public        []api.Role
	readers       = []api.Role{api.RoleAuditor, api.RoleOperator, api.RoleAdmin}
	writers       = []api.Role{api.RoleOperator, api.RoleAdmin}
	admins        = []api.Role{api.RoleAdmin}
	appserverOnly = []api.Role{api.RoleAppServer, api.RoleAdmin}
)

type (
	principalKey struct{}
	againKey     struct{}
)

// principal is who makes the request; only in operations that are not public.
func principal(ctx context.Context) token.Principal {
	p, _ := ctx.Value(principalKey{}).(token.Principal)
	return p
}

// again finds out anew who makes a request that goes on for long. It fails once the token or the
// certificate is good no longer.
func again(ctx context.Context) error {
	if check, ok := ctx.Value(againKey{}).(func() error); ok {
		return check()
	}
	return nil
}

// actor names the principal in the audit trail. Names of tokens may repeat, IDs do not.
func actor(ctx context.Context) string {
	p := principal(ctx)
	return p.Name + " (" + p.ID + ")"
}

// only lets requests pass whose token or certificate has one of the roles.
func (s *Server) only(roles []api.Role) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		p, err := s.authenticate(r)
		if err != nil {
			err = s.guessed(r, err)
		}
		if err == nil && !slices.Contains(roles, p.Role) {
			err = refuse.With(api.CodeForbidden, http.StatusForbidden,
				"the role %s may not do this: it takes %s", p.Role, roleList(roles))
		}
		if err == nil && len(p.Fleets) > 0 {
			err = s.within(ctx, p)
		}
		if err != nil {
			s.refuse(w, r, err)
			return
		}
		ctx = huma.WithValue(withKey(ctx), principalKey{}, p)
		next(huma.WithValue(ctx, againKey{}, func() error {
			_, err := s.authenticate(r)
			return err
		}))
	}
}

// authenticate finds out who makes a request: the holder of a token, or else an application server
// by its TLS client certificate.
func (s *Server) authenticate(r *http.Request) (token.Principal, error) {
	authorization := r.Header.Get("Authorization")
	if authorization == "" && r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		return s.services.AppServers.Authenticate(r.Context(), r.TLS.PeerCertificates[0])
	}
	scheme, secret, _ := strings.Cut(authorization, " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return token.Principal{}, refuse.With(api.CodeUnauthorized, http.StatusUnauthorized,
			"this needs a token: send the header Authorization: Bearer TOKEN")
	}
	return s.services.Tokens.Authenticate(r.Context(), secret)
}

func roleList(roles []api.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, " or ")
}
