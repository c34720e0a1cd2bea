package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// pemType is the media type of chains.
const pemType = "application/pem-certificate-chain"

func (s *Server) addTrust() {
	add(s, huma.Operation{
		OperationID: "get-transport-key", Method: http.MethodGet, Path: api.PathTransportKey, Tags: []string{tagTrust},
		Summary: "Get the transport key", Description: "Returns the X25519 public key to which the keys of SIMs in batch files are sealed. It needs no token.",
	}, public, func(context.Context, *nothing) (*with[api.TransportKey], error) {
		key := s.services.Registry.TransportKey()
		if key == nil {
			return nil, refuse.Conflict("this platform takes each batch under a transport key of its own: have one made (simroot platform transport-key new)")
		}
		return answer(api.TransportKey{Key: key}, nil)
	})
	add(s, huma.Operation{
		OperationID: "get-trust-anchors", Method: http.MethodGet, Path: api.PathTrustAnchors, Tags: []string{tagTrust},
		Summary: "Get the trust anchors", Description: "Returns the platform's root certificates. It needs no token.",
		Responses: answersWith(pemType, "Certificates in PEM"),
	}, public, func(context.Context, *nothing) (*raw, error) {
		return &raw{pemType, s.services.Authority.Anchors()}, nil
	})
	add(s, huma.Operation{
		OperationID: "get-issuers", Method: http.MethodGet, Path: api.PathIssuers, Tags: []string{tagTrust},
		Summary: "Get the issuing CAs", Description: "Returns the certificates of the issuing CAs. It needs no token.",
		Responses: answersWith(pemType, "Certificates in PEM"),
	}, public, func(context.Context, *nothing) (*raw, error) {
		return &raw{pemType, s.services.Authority.Issuers()}, nil
	})
}
