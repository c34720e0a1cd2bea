package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// The media types of what is not JSON.
const (
	pemType = "application/pem-certificate-chain"
	crlType = "application/pkix-crl"
)

func (s *Server) addTrust() {
	add(s, huma.Operation{
		OperationID: "get-transport-key", Method: http.MethodGet, Path: api.PathTransportKey, Tags: []string{tagTrust},
		Summary: "Get the transport key", Description: "Returns the X25519 public key to which the keys of SIMs in batch files are sealed. It needs no token.",
	}, public, func(context.Context, *nothing) (*with[api.TransportKey], error) {
		return answer(api.TransportKey{Key: s.services.Registry.TransportKey()}, nil)
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
	add(s, huma.Operation{
		OperationID: "get-crl", Method: http.MethodGet, Path: api.PathCRL, Tags: []string{tagTrust},
		Summary: "Get the revocation list", Description: "Returns the issuing CA's current certificate revocation list. It needs no token.",
		Responses: answersWith(crlType, "A CRL in DER (RFC 5280)"),
	}, public, func(ctx context.Context, _ *nothing) (*raw, error) {
		list, err := s.services.CRL.Current(ctx)
		return &raw{crlType, list}, err
	})
	add(s, huma.Operation{
		OperationID: "get-root-crl", Method: http.MethodGet, Path: api.PathRootCRL, Tags: []string{tagTrust},
		Summary:     "Get the root's revocation list",
		Description: "Returns the root's certificate revocation list, on which a revoked issuing CA would stand. Servers that check every certificate of a chain want it beside the issuing CA's. It needs no token.",
		Responses:   answersWith(crlType, "A CRL in DER (RFC 5280)"),
	}, public, func(context.Context, *nothing) (*raw, error) {
		list := s.services.Authority.RootCRL()
		if list == nil {
			return nil, refuse.Conflict("the root has signed no revocation list, and its key is not here to sign one")
		}
		return &raw{crlType, list}, nil
	})
	add(s, huma.Operation{
		OperationID: "request-server-certificate", Method: http.MethodPost, Path: api.PathServers, Tags: []string{tagTrust},
		Summary:     "Issue an application server's certificate",
		Description: "Issues a TLS server certificate for the given names. Of the PKCS#10 request only the key and the proof of possession count.",
	}, admins, func(ctx context.Context, in *with[api.ServerRequest]) (*with[api.ServerCertificate], error) {
		return answer(s.serverCertificate(ctx, in.Body))
	})
}
