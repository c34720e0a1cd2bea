package httpapi

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/est"
	"github.com/simroot/simroot/internal/platform/refuse"
)

// The media types of EST (RFC 7030, 3.2.2).
const (
	requestType   = "application/pkcs10"
	certsOnlyType = "application/pkcs7-mime; smime-type=certs-only"
	attrsType     = "application/csrattrs"
	keyType       = "application/pkcs8"
	multipartType = "multipart/mixed"
)

// basicChallenge is how a device without a certificate may identify itself (RFC 7030, 3.2.3).
const basicChallenge = `Basic realm="simroot EST", charset="UTF-8"`

type (
	// ESTLabel names a fleet.
	ESTLabel struct {
		Fleet string `path:"fleet" maxLength:"64" doc:"The label: the name of the fleet."`
		over  *http.Request
	}
	estInput struct{ ESTLabel }
	estBody  struct {
		ESTLabel
		RawBody []byte `contentType:"application/pkcs10"`
	}
	// estAnswer names its encoding for clients of RFC 7030; those of RFC 8951 ignore that.
	estAnswer struct {
		ContentType string `header:"Content-Type"`
		Encoding    string `header:"Content-Transfer-Encoding"`
		Body        []byte
	}
)

// Resolve implements [huma.Resolver].
func (l *ESTLabel) Resolve(ctx huma.Context) []error {
	l.over, _ = humago.Unwrap(ctx)
	return nil
}

// request is what the service needs to know.
func (in *estBody) request() (est.Request, error) {
	if given := in.over.Header.Get("Content-Type"); given != "" {
		if kind, _, err := mime.ParseMediaType(given); err != nil || kind != requestType {
			return est.Request{}, refuse.With(api.CodeBadRequest, http.StatusUnsupportedMediaType, "send the request as %s (RFC 7030, 4.2.1), not as %q", requestType, given)
		}
	}
	r := est.Request{Fleet: in.Fleet, CSR: in.RawBody, Connection: in.over.TLS}
	r.User, r.Password, r.Basic = in.over.BasicAuth()
	return r, nil
}

// inBase64 is an answer of EST.
func inBase64(contentType string, body []byte, err error) (*estAnswer, error) {
	if err != nil {
		var refusal *api.Error
		if errors.As(err, &refusal) && refusal.Status == http.StatusUnauthorized {
			asking := *refusal
			asking.Authenticate = basicChallenge
			return nil, &asking
		}
		return nil, err
	}
	return &estAnswer{contentType, "base64", body}, nil
}

// addEST serves EST. It takes no token: devices identify themselves as RFC 7030 says.
func (s *Server) addEST() {
	add(s, huma.Operation{
		OperationID: "est-cacerts", Method: http.MethodGet, Path: api.PathESTCACerts, Tags: []string{tagEST},
		Summary:     "Get the CA's certificates (EST)",
		Description: "Returns the root and the issuing CA. A device that presents a certificate which was delivered to it shows that it has arrived, and it becomes active.",
		Responses:   answersWith(certsOnlyType, "Certificates: a certs-only PKCS#7 in base64"),
	}, public, func(ctx context.Context, in *estInput) (*estAnswer, error) {
		certificates, err := s.services.EST.CACerts(ctx, in.Fleet, in.over.TLS)
		return inBase64(certsOnlyType, certificates, err)
	})
	add(s, huma.Operation{
		OperationID: "est-csrattrs", Method: http.MethodGet, Path: api.PathESTAttributes, Tags: []string{tagEST},
		Summary: "Get what a request should hold (EST)", Description: "Returns the attributes that the fleet wants in a certificate request.",
		Responses: answersWith(attrsType, "CsrAttrs in base64"),
	}, public, func(ctx context.Context, in *estInput) (*estAnswer, error) {
		wanted, err := s.services.EST.CSRAttributes(ctx, in.Fleet)
		return inBase64(attrsType, wanted, err)
	})
	for _, verb := range []struct {
		id, path, summary, description string
		serve                          func(context.Context, est.Request) ([]byte, error)
	}{
		{"est-simpleenroll", api.PathESTEnrol, "Enrol (EST)",
			"Gives the SIM that has identified itself (factory certificate, current certificate, or one-time secret over HTTP Basic) a certificate. " +
				"The same request is answered with the same certificate.", s.services.EST.Enrol},
		{"est-simplereenroll", api.PathESTReenrol, "Renew (EST)",
			"Renews the certificate that is presented, under the same key or another. The new one becomes active when it is presented for the first time.", s.services.EST.Reenrol},
	} {
		add(s, huma.Operation{
			OperationID: verb.id, Method: http.MethodPost, Path: verb.path, Tags: []string{tagEST},
			Summary: verb.summary, Description: verb.description, MaxBodyBytes: est.MaxRequest, RequestBody: certificateRequest(),
			Responses: answersWith(certsOnlyType, "The certificate: a certs-only PKCS#7 in base64"),
		}, public, func(ctx context.Context, in *estBody) (*estAnswer, error) {
			r, err := in.request()
			if err != nil {
				return nil, err
			}
			certificate, err := verb.serve(ctx, r)
			return inBase64(certsOnlyType, certificate, err)
		})
	}
	add(s, huma.Operation{
		OperationID: "est-serverkeygen", Method: http.MethodPost, Path: api.PathESTServerKeygen, Tags: []string{tagEST},
		Summary:      "Have a key pair made (EST)",
		Description:  "Makes a key pair and its certificate, in fleets that allow it. The private key is protected by TLS alone, and not kept.",
		MaxBodyBytes: est.MaxRequest, RequestBody: certificateRequest(),
		Responses: answersWith(multipartType, "The private key (PKCS#8) and the certificate (certs-only PKCS#7), both in base64"),
	}, public, func(ctx context.Context, in *estBody) (*estAnswer, error) {
		r, err := in.request()
		if err != nil {
			return nil, err
		}
		key, certificate, err := s.services.EST.ServerKeygen(ctx, r)
		if err != nil {
			return inBase64("", nil, err)
		}
		defer clear(key)
		contentType, body, err := keyAndCertificate(key, certificate)
		return &estAnswer{ContentType: contentType, Body: body}, err
	})
}

// certificateRequest describes the body of a request.
func certificateRequest() *huma.RequestBody {
	return &huma.RequestBody{Required: true, Description: "A PKCS#10 request in DER, in base64 (RFC 8951)",
		Content: map[string]*huma.MediaType{requestType: {
			Schema: &huma.Schema{Type: "string", Format: "binary"}}}}
}

// keyAndCertificate puts two parts together (RFC 7030, 4.4.2).
func keyAndCertificate(key, certificate []byte) (contentType string, body []byte, err error) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, part := range []struct {
		contentType string
		content     []byte
	}{{keyType, key}, {certsOnlyType, certificate}} {
		to, err := w.CreatePart(textproto.MIMEHeader{"Content-Type": {part.contentType}, "Content-Transfer-Encoding": {"base64"}})
		if err != nil {
			return "", nil, err
		}
		if _, err := to.Write(part.content); err != nil {
			return "", nil, err
		}
	}
	err = w.Close()
	return mime.FormatMediaType(multipartType, map[string]string{"boundary": w.Boundary()}), b.Bytes(), err
}
