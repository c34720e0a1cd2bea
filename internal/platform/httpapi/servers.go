package httpapi

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/netip"
	"regexp"
	"strings"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// dnsName is a DNS name in preferred syntax (RFC 1034, 3.5), or a wildcard for its first label.
var dnsName = regexp.MustCompile(`^(\*\.)?([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

const maxDNSName = 253

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
	leaf, err := s.services.Authority.IssueServer(r.Names, request.PublicKey)
	if errors.Is(err, ca.ErrLint) {
		return api.ServerCertificate{}, refuse.BadRequest("body.names: no good certificate can be made for them: %v", err)
	}
	if err != nil {
		return api.ServerCertificate{}, err
	}
	fingerprint := sha256.Sum256(leaf)
	if err := s.services.Audit.Record(ctx, api.AuditEntry{
		Actor: actor(ctx), Action: "server.certified", Subject: strings.Join(r.Names, " "), After: hex.EncodeToString(fingerprint[:]),
	}); err != nil {
		return api.ServerCertificate{}, err
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})
	return api.ServerCertificate{Chain: string(append(chain, s.services.Authority.Issuers()...))}, nil
}
