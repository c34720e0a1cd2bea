package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// problem is an [api.Error] as it leaves the platform (RFC 9457).
type problem api.Error

func (p *problem) Error() string { return (*api.Error)(p).Error() }

// GetStatus makes huma answer with the error's status.
func (p *problem) GetStatus() int { return p.Status }

// ContentType makes huma answer with the media type of RFC 9457.
func (p *problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// GetHeaders makes huma answer with Retry-After and WWW-Authenticate where they are due.
func (p *problem) GetHeaders() http.Header {
	headers := http.Header{}
	if p.RetryAfter > 0 {
		seconds := (p.RetryAfter + time.Second - 1) / time.Second
		headers.Set("Retry-After", strconv.Itoa(int(seconds)))
	}
	if p.Status == http.StatusUnauthorized {
		headers.Set("WWW-Authenticate", cmp.Or(p.Authenticate, "Bearer"))
		if p.Authenticate == "" {
			headers.Set("Connection", "close") // a better client certificate takes another connection
		}
	}
	return headers
}

// The refusals that huma makes itself are to look like all others. It keeps their
// constructor in package variables; nothing else in the platform uses huma.
func init() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return malformed("", status, message, errs)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		return malformed(requestID(ctx.Context()), status, message, errs)
	}
}

// malformed is what huma says of a request that does not fit its description. The values
// that were sent are not repeated: they may be secret.
func malformed(requestID string, status int, message string, errs []error) *problem {
	code := api.CodeBadRequest
	switch status {
	case http.StatusUnprocessableEntity:
		status = http.StatusBadRequest
	case http.StatusInternalServerError: // huma's word for a body that ends early
		status = http.StatusBadRequest
	case http.StatusRequestEntityTooLarge:
		code = api.CodeTooLarge
	case http.StatusUnsupportedMediaType:
		message = "send the body as application/json"
		errs = nil
	}
	const most = 5 // of the errors
	texts := []string{}
	for i, err := range errs {
		if i == most {
			texts = append(texts, fmt.Sprintf("and %d more", len(errs)-most))
			break
		}
		var located huma.ErrorDetailer
		if errors.As(err, &located) {
			detail := located.ErrorDetail()
			texts = append(texts, strings.TrimPrefix(detail.Location+": "+detail.Message, ": "))
		} else if err != nil {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) > 0 {
		message = strings.Join(texts, "; ")
	}
	return &problem{Status: status, Title: http.StatusText(status), Code: code, Detail: message, RequestID: requestID}
}

// problem turns an error of a service into an answer. A refusal goes out as it is; what is
// inside any other error goes to the log only.
func (s *Server) problem(ctx context.Context, err error) *problem {
	id := requestID(ctx)
	var refusal *api.Error
	if errors.As(err, &refusal) {
		p := problem(*refusal)
		if p.Status < 400 {
			p.Status = http.StatusBadRequest
		}
		if p.Title == "" {
			p.Title = http.StatusText(p.Status)
		}
		p.RequestID = id
		return &p
	}
	if ctx.Err() != nil {
		return &problem{Status: http.StatusServiceUnavailable, Title: "Request abandoned", Code: api.CodeInternal,
			Detail: "the request ended before it was answered: send it again", RequestID: id}
	}
	s.log.ErrorContext(ctx, "request failed", "request", id, "error", err)
	if errors.Is(err, store.ErrUnknown) {
		return &problem{Status: http.StatusInternalServerError, Title: "Outcome unknown", Code: api.CodeOutcomeUnknown,
			Detail: "the connection to the database was lost in the middle, and whether the change was made is not known: look; a request that has an " +
				api.HeaderIdempotencyKey + " can be repeated under it", RequestID: id}
	}
	return &problem{Status: http.StatusInternalServerError, Title: http.StatusText(http.StatusInternalServerError), Code: api.CodeInternal,
		Detail: "something failed inside the platform; its log tells what, under this request's ID", RequestID: id}
}

// refuse answers a request that does not reach a handler.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problem(r.Context(), err)
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that is gone needs no answer
}
