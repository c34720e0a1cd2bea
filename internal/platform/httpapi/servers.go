package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"regexp"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// dnsName is a DNS name in preferred syntax (RFC 1034, 3.5), or a wildcard for its first label.
var dnsName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

const maxDNSName = 253

type (
	serverChange struct {
		Serial string `path:"serial" pattern:"^[0-9a-f]{1,40}$" patternDescription:"a serial number in hexadecimal" doc:"The certificate's serial number."`
		Body   api.Change
	}
)

func (s *Server) addServers() {
	add(s, huma.Operation{
		OperationID: "request-server-certificate", Method: http.MethodPost, Path: api.PathServers, Tags: []string{tagTrust},
		Summary:     "Issue a server's TLS certificate",
		Description: "Issues a TLS server certificate for the given names. Of the PKCS#10 request only the key and the proof of possession count.",
	}, admins, func(ctx context.Context, in *with[api.ServerRequest]) (*with[api.ServerCertificate], error) {
		return answer(s.serverCertificate(ctx, in.Body))
	})
	add(s, huma.Operation{
		OperationID: "list-server-certificates", Method: http.MethodGet, Path: api.PathServers, Tags: []string{tagTrust},
		Summary: "List the servers' certificates", Description: "Lists the certificates that were issued to servers, older ones first.",
	}, readers, func(ctx context.Context, in *pageInput) (*with[api.Page[api.IssuedServerCertificate]], error) {
		return answerPage(s.services.Servers.List(ctx, in.After, in.Limit))
	})
	add(s, huma.Operation{
		OperationID: "revoke-server-certificate", Method: http.MethodPost, Path: api.PathServers + "/{serial}/revoke", Tags: []string{tagTrust},
		Summary:     "Revoke a server's certificate",
		Description: "Revokes a server's certificate for good. The answer comes after the revocation is on disk and in the lists. A repetition changes nothing.",
		RequestBody: exampleChange(),
	}, admins, func(ctx context.Context, in *serverChange) (*with[api.IssuedServerCertificate], error) {
		return answer(s.services.Servers.Revoke(ctx, actor(ctx), in.Serial, in.Body))
	})
}

// serverCertificate has a request for a server's certificate signed, if it is one.
func (s *Server) serverCertificate(ctx context.Context, r api.ServerRequest) (api.ServerCertificate, error) {
	for i, name := range r.Names {
		if _, err := netip.ParseAddr(name); err != nil && (len(name) > maxDNSName || !dnsName.MatchString(name)) {
			return api.ServerCertificate{}, refuse.BadRequest("body.names[%d]: %q is neither a DNS name nor an IP address", i, name)
		}
	}
	request, err := x509.ParseCertificateRequest(r.CSR)
	if err != nil {
		return api.ServerCertificate{}, refuse.BadRequest("body.csr: not a PKCS#10 request in DER: %v", err)
	}
	if key, ok := request.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return api.ServerCertificate{}, refuse.BadRequest("body.csr: a key of the type %T: want one on P-256, as SIMs can check no other", request.PublicKey)
	}
	if err := request.CheckSignature(); err != nil {
		return api.ServerCertificate{}, refuse.BadRequest("body.csr: its signature does not prove possession of its key: %v", err)
	}
	leaf, err := s.services.Servers.Issue(ctx, actor(ctx), r.Names, request.PublicKey)
	if errors.Is(err, ca.ErrLint) {
		return api.ServerCertificate{}, refuse.BadRequest("body.names: no good certificate can be made for them: %v", err)
	}
	if err != nil {
		return api.ServerCertificate{}, err
	}
	return api.ServerCertificate{Chain: string(s.services.Authority.Chain(leaf))}, nil
}
