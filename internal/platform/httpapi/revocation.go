package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/ocsp"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// The media types of revocation (RFC 5280, 4.2.1.13; RFC 6960, appendix A).
const (
	crlType          = "application/pkix-crl"
	crlPEMType       = "application/x-pem-file"
	ocspRequestType  = "application/ocsp-request"
	ocspResponseType = "application/ocsp-response"
)

// maxAge is how long others may keep an OCSP answer (RFC 5019, 6.2). A revocation is
// that much later with those who ask a cache.
const maxAge = 5 * time.Minute

type (
	caInput struct {
		CA int `path:"ca" minimum:"1" doc:"The number of an issuing CA: 1 is the first, 2 the one that follows it."`
	}
	caShardInput struct {
		caInput
		shardInput
	}
	shardInput struct {
		Shard int `path:"shard" minimum:"0" maximum:"63" doc:"The shard that a certificate names: the last byte of its serial number modulo 64."`
	}
	ocspPost struct {
		RawBody []byte `contentType:"application/ocsp-request"`
	}
	ocspGet struct {
		Request string `path:"request" maxLength:"32768" doc:"The request in base 64."`
	}
	ocspAnswer struct {
		ContentType  string `header:"Content-Type"`
		CacheControl string `header:"Cache-Control"`
		ETag         string `header:"ETag"`
		LastModified string `header:"Last-Modified"`
		Expires      string `header:"Expires"`
		Body         []byte
	}
)

func (s *Server) addRevocation() {
	add(s, huma.Operation{
		OperationID: "get-crl", Method: http.MethodGet, Path: api.PathCRL, Tags: []string{tagTrust},
		Summary: "Get the revocation list", Description: "Returns the current certificate revocation list of the CA that issues, complete whatever its size. It shows every revocation that was answered before. It needs no token.",
		Responses: answersWith(crlType, "A CRL in DER (RFC 5280)"),
	}, public, func(ctx context.Context, _ *nothing) (*raw, error) {
		list, err := s.services.CRL.Complete(ctx, crl.Present)
		return &raw{crlType, list}, err
	})
	add(s, huma.Operation{
		OperationID: "get-crl-delta", Method: http.MethodGet, Path: api.PathCRLDelta, Tags: []string{tagTrust},
		Summary: "Get the changes of the revocation list", Description: "Returns what has changed on the complete list during the last day, as a delta CRL (RFC 5280, 5.2.4). It needs no token.",
		Responses: answersWith(crlType, "A delta CRL in DER (RFC 5280)"),
	}, public, func(ctx context.Context, _ *nothing) (*raw, error) {
		list, err := s.services.CRL.Delta(ctx, crl.Present)
		return &raw{crlType, list}, err
	})
	add(s, huma.Operation{
		OperationID: "get-crl-shard", Method: http.MethodGet, Path: api.PathCRL + "/shards/{shard}", Tags: []string{tagTrust},
		Summary: "Get one part of the revocation list", Description: "Returns the list of the certificates that name this part as their distribution point (RFC 5280, 5.2.5): those of the first CA. Those of later CAs name their CA too. A platform without a public URL has none. It needs no token.",
		Responses: answersWith(crlType, "A CRL in DER (RFC 5280)"),
	}, public, func(ctx context.Context, in *shardInput) (*raw, error) {
		list, err := s.services.CRL.Shard(ctx, 1, in.Shard)
		return &raw{crlType, list}, err
	})
	s.addCRLs()
	add(s, huma.Operation{
		OperationID: "ask-ocsp", Method: http.MethodPost, Path: api.PathOCSP, Tags: []string{tagTrust}, MaxBodyBytes: ocsp.MaxRequest,
		Summary: "Ask for the status of certificates", Description: "Answers an OCSP request (RFC 6960). It needs no token.",
		Responses: answersWith(ocspResponseType, "An OCSP response in DER"),
	}, public, func(ctx context.Context, in *ocspPost) (*ocspAnswer, error) {
		return s.ocspAnswer(ctx, in.RawBody, false), nil
	})
	add(s, huma.Operation{
		OperationID: "get-ocsp", Method: http.MethodGet, Path: api.PathOCSP + "/{request}", Tags: []string{tagTrust},
		Summary: "Get the status of certificates", Description: "Answers an OCSP request in the path (RFC 5019, 5), with an answer that may be cached. It needs no token.",
		Responses: answersWith(ocspResponseType, "An OCSP response in DER"),
	}, public, func(ctx context.Context, in *ocspGet) (*ocspAnswer, error) {
		der, err := base64.RawURLEncoding.DecodeString(in.Request)
		if err != nil {
			der = nil // which is answered as malformed
		}
		return s.ocspAnswer(ctx, der, true), nil
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
}

// addCRLs adds the lists of every CA: there is more than one during a rollover.
func (s *Server) addCRLs() {
	add(s, huma.Operation{
		OperationID: "get-crls", Method: http.MethodGet, Path: api.PathCRLs, Tags: []string{tagTrust},
		Summary: "Get all revocation lists", Description: "Returns the complete lists of all issuing CAs that are trusted, and of the roots above them: one file for TLS servers, whichever CA a certificate is of. It needs no token.",
		Responses: answersWith(crlPEMType, "CRLs in PEM"),
	}, public, func(ctx context.Context, _ *nothing) (*raw, error) {
		text, err := s.services.CRL.All(ctx)
		return &raw{crlPEMType, text}, err
	})
	const path = api.PathCRL + "/cas/{ca}"
	add(s, huma.Operation{
		OperationID: "get-ca-crl", Method: http.MethodGet, Path: path, Tags: []string{tagTrust},
		Summary: "Get the revocation list of one CA", Description: "Returns the complete list of one issuing CA. It needs no token.",
		Responses: answersWith(crlType, "A CRL in DER (RFC 5280)"),
	}, public, func(ctx context.Context, in *caInput) (*raw, error) {
		list, err := s.services.CRL.Complete(ctx, in.CA)
		return &raw{crlType, list}, err
	})
	add(s, huma.Operation{
		OperationID: "get-ca-crl-delta", Method: http.MethodGet, Path: path + "/delta", Tags: []string{tagTrust},
		Summary: "Get the changes of the revocation list of one CA", Description: "Returns what has changed on the complete list of one issuing CA during the last day, as a delta CRL (RFC 5280, 5.2.4). It needs no token.",
		Responses: answersWith(crlType, "A delta CRL in DER (RFC 5280)"),
	}, public, func(ctx context.Context, in *caInput) (*raw, error) {
		list, err := s.services.CRL.Delta(ctx, in.CA)
		return &raw{crlType, list}, err
	})
	add(s, huma.Operation{
		OperationID: "get-ca-crl-shard", Method: http.MethodGet, Path: path + "/shards/{shard}", Tags: []string{tagTrust},
		Summary: "Get one part of the revocation list of one CA", Description: "Returns the list of the certificates of one issuing CA that name this part as their distribution point (RFC 5280, 5.2.5). A platform without a public URL has none. It needs no token.",
		Responses: answersWith(crlType, "A CRL in DER (RFC 5280)"),
	}, public, func(ctx context.Context, in *caShardInput) (*raw, error) {
		list, err := s.services.CRL.Shard(ctx, in.CA, in.Shard)
		return &raw{crlType, list}, err
	})
}

// ocspAnswer answers a request. What went wrong inside is logged, and said in the answer in OCSP's own words.
func (s *Server) ocspAnswer(ctx context.Context, request []byte, cached bool) *ocspAnswer {
	a, err := s.services.OCSP.Answer(ctx, request)
	if err != nil {
		s.log.ErrorContext(ctx, "answer an OCSP request", "request", requestID(ctx), "error", err)
	}
	out := &ocspAnswer{ContentType: ocspResponseType, CacheControl: "no-store", Body: a.DER}
	if cached && !a.NextUpdate.IsZero() && !a.Nonce { // RFC 5019, 6.2
		print := sha256.Sum256(a.DER)
		out.CacheControl = "max-age=" + strconv.Itoa(int(maxAge.Seconds())) + ", public, no-transform, must-revalidate"
		out.ETag = `"` + hex.EncodeToString(print[:16]) + `"`
		out.LastModified, out.Expires = a.ThisUpdate.Format(http.TimeFormat), a.NextUpdate.Format(http.TimeFormat)
	}
	return out
}

// plainOCSP makes one path element of the base 64 in the path of a GET: its alphabet has a
// slash, escaped or not, two of which a mux would take for a mistake.
func plainOCSP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		prefix := api.PathOCSP + "/"
		escaped, is := strings.CutPrefix(r.URL.EscapedPath(), prefix)
		if !is || r.Method != http.MethodGet || escaped == "" {
			next.ServeHTTP(w, r)
			return
		}
		text, err := url.PathUnescape(escaped)
		if err != nil {
			text = "-"
		}
		text = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(text)
		clone := r.Clone(r.Context())
		clone.URL.Path, clone.URL.RawPath = prefix+text, prefix+url.PathEscape(text)
		next.ServeHTTP(w, clone)
	})
}

// onPlain are the operations that are served without TLS too: what they return is signed in itself, and
// who checks a certificate cannot first check another one in order to do so (RFC 5280, 8).
var onPlain = []string{api.PathCRL, api.PathCRLs, api.PathRootCRL, api.PathOCSP, api.PathIssuers}

// Plain serves only what needs no TLS.
func (s *Server) Plain() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, path := range onPlain {
			if r.URL.Path == path || strings.HasPrefix(r.URL.Path, path+"/") {
				s.handler.ServeHTTP(w, r)
				return
			}
		}
		s.refuse(w, r, refuse.With(api.CodeBadRequest, http.StatusNotFound, "this address serves only revocation lists, OCSP and CA certificates: use https for everything else"))
	})
}
