package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/credential"
)

type (
	// CredentialPath names a credential.
	CredentialPath struct {
		ID string `path:"id" maxLength:"64" doc:"The credential's identifier."`
	}
	credentialInput  struct{ CredentialPath }
	credentialChange struct {
		CredentialPath
		Body api.Change
	}
	credentialsInput struct {
		Paging
		ICCID string `query:"iccid" pattern:"^[0-9]{18,20}$" patternDescription:"an ICCID of 18 to 20 digits" doc:"Only credentials of this SIM."`
		Fleet string `query:"fleet" maxLength:"64" doc:"Only credentials of this fleet."`
		State string `query:"state" enum:"requested,keyed,issued,delivered,active,superseded,expired,revoked" doc:"Only credentials in this state."`
	}
)

func (s *Server) addCredentials() {
	add(s, huma.Operation{
		OperationID: "list-credentials", Method: http.MethodGet, Path: api.PathCredentials, Tags: []string{tagCredentials},
		Summary: "List credentials", Description: "Lists credentials.",
	}, readers, func(ctx context.Context, in *credentialsInput) (*with[api.Page[api.Credential]], error) {
		fleet, err := listedFleet(ctx, in.Fleet)
		if err != nil {
			return nil, err
		}
		filter := credential.Filter{ICCID: in.ICCID, Fleet: fleet, State: api.CredentialState(in.State)}
		return answerPage(s.services.Credentials.Credentials(ctx, filter, in.After, in.Limit))
	})
	add(s, huma.Operation{
		OperationID: "get-credential", Method: http.MethodGet, Path: api.PathCredentials + "/{id}", Tags: []string{tagCredentials},
		Summary: "Get one credential", Description: "Returns a credential with its state.",
	}, readers, func(ctx context.Context, in *credentialInput) (*with[api.Credential], error) {
		return answer(s.services.Credentials.Credential(ctx, in.ID))
	})
	add(s, huma.Operation{
		OperationID: "revoke-credential", Method: http.MethodPost, Path: api.PathCredentials + "/{id}/revoke", Tags: []string{tagCredentials},
		Summary:     "Revoke a credential",
		Description: "Revokes a credential for good. The answer comes after the revocation is on disk, in the CRL and in the feed. A repetition changes nothing.",
		RequestBody: exampleChange(),
	}, writers, func(ctx context.Context, in *credentialChange) (*with[api.Credential], error) {
		return answer(s.services.Credentials.Revoke(ctx, actor(ctx), in.ID, in.Body))
	})
	add(s, huma.Operation{
		OperationID: "get-secret", Method: http.MethodPost, Path: api.PathCredentials + "/{id}/secret", Tags: []string{tagCredentials},
		Summary:     "Get a PSK, sealed",
		Description: "Returns the PSK of a credential, sealed (RFC 9180) to the sealing key of the token or the application server.",
	}, appserverOnly, func(ctx context.Context, in *credentialInput) (*with[api.SealedSecret], error) {
		return answer(s.sealedSecret(ctx, in.ID))
	})
	add(s, huma.Operation{
		OperationID: "get-secrets", Method: http.MethodPost, Path: api.PathSecrets, Tags: []string{tagCredentials}, MaxBodyBytes: maxRelayBody,
		Summary: "Get several PSKs, sealed",
		Description: "Returns the PSKs of several credentials, each as " + api.PathCredentials + "/{id}/secret does: sealed to the same key, noted in the audit log, " +
			"or refused for itself. The items are in the order of the request. Asked again it answers anew: it takes no idempotency key.",
	}, appserverOnly, func(ctx context.Context, in *struct{ Body api.SecretsRequest }) (*with[api.Page[api.HandedSecret]], error) {
		items, err := s.sealedSecrets(ctx, in.Body.Credentials)
		return answerPage(api.Page[api.HandedSecret]{Items: items}, err)
	})
}
