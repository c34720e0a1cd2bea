package httpapi

import (
	"context"
	"net/http"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// handed is a sealed PSK, or why it is not handed out.
type handed struct {
	sealed  []byte
	refusal error
}

// handOut seals PSKs to the key of the principal. They leave when the audit log has it on disk.
func (s *Server) handOut(ctx context.Context, ids []string) ([]handed, error) {
	p := principal(ctx)
	if len(p.SealingKey) == 0 {
		return nil, refuse.With(api.CodeForbidden, http.StatusForbidden,
			"there is no sealing key, without which no secret can be handed out: register with one, or create a token with one")
	}
	opened, err := s.services.Credentials.Secrets(ctx, ids, func(c api.Credential) error { return s.showsCredential(ctx, p, c) })
	defer func() {
		for _, o := range opened {
			clear(o.Secret)
		}
	}()
	if err != nil {
		return nil, err
	}
	all := make([]handed, len(ids))
	var noted []api.AuditEntry
	for i, o := range opened {
		if all[i].refusal = o.Refusal; o.Refusal != nil {
			continue
		}
		if all[i].sealed, err = api.Seal(p.SealingKey, ids[i], o.Secret); err != nil {
			return nil, err
		}
		noted = append(noted, api.AuditEntry{Actor: actor(ctx), Action: "secret.handed-out", Subject: ids[i]})
	}
	if len(noted) > 0 {
		err = s.services.Audit.Record(ctx, noted...)
	}
	return all, err
}

func (s *Server) sealedSecret(ctx context.Context, id string) (api.SealedSecret, error) {
	all, err := s.handOut(ctx, []string{id})
	if err != nil {
		return api.SealedSecret{}, err
	}
	return api.SealedSecret{Sealed: all[0].sealed}, all[0].refusal
}

func (s *Server) sealedSecrets(ctx context.Context, ids []string) ([]api.HandedSecret, error) {
	all, err := s.handOut(ctx, ids)
	if err != nil {
		return nil, err
	}
	items := make([]api.HandedSecret, len(ids))
	for i, h := range all {
		items[i] = api.HandedSecret{Credential: ids[i], Sealed: h.sealed}
		if h.refusal != nil {
			items[i].Refusal = (*api.Error)(s.problem(ctx, h.refusal))
		}
	}
	return items, nil
}
