package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/simroot/simroot/api"
)

// requestIDHeader carries the request's ID in every answer.
const requestIDHeader = "Request-Id"

type requestIDKey struct{}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

type operationKey struct{}

// naming tells the request log which operation a request has met.
func naming(operation string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		if name, ok := ctx.Context().Value(operationKey{}).(*string); ok {
			*name = operation
		}
		next(ctx)
	}
}

// logged gives each request an ID, writes one line about it when it is done, and turns a
// panic into an internal error.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		var random [8]byte
		rand.Read(random[:]) // never fails (crypto/rand)
		id := hex.EncodeToString(random[:])
		operation := "none"
		r = r.WithContext(context.WithValue(context.WithValue(r.Context(), requestIDKey{}, id), operationKey{}, &operation))
		w.Header().Set(requestIDHeader, id)
		answer := &recorder{ResponseWriter: w}
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.log.ErrorContext(r.Context(), "request panicked", "request", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
				if answer.status != 0 {
					defer panic(http.ErrAbortHandler) // half an answer must not look whole
				} else {
					s.refuse(answer, r, fmt.Errorf("panic: %v", p))
				}
			} else if p != nil {
				defer panic(p)
			}
			took := time.Since(begun)
			s.watch.Answered(operation, answer.status, took)
			s.log.InfoContext(r.Context(), "request", "method", r.Method, "path", logPath(r.URL.Path),
				"status", answer.status, "duration", took, "request", id)
		}()
		next.ServeHTTP(answer, r)
	})
}

// logPath is a path as the log may show it: the identifier of a relay session is all that
// it takes to speak in that session.
func logPath(path string) string {
	if strings.HasPrefix(path, api.PathRelay+"/") {
		return api.PathRelay + "/{session}"
	}
	return path
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets [http.ResponseController] reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
