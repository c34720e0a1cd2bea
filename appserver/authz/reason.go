package authz

import (
	"errors"

	"github.com/simroot/simroot/appserver"
)

// The reasons of a denial that are not the middleware's.
var (
	errMalformed = errors.New("malformed")
	errBusy      = errors.New("busy")
)

// reason is a denial in one word, which never changes its meaning.
func reason(err error) string {
	for _, r := range []struct {
		err  error
		word string
	}{
		{errMalformed, "malformed"}, {errBusy, "busy"},
		{appserver.ErrUnknown, "unknown"}, {appserver.ErrNotIssued, "not_issued"}, {appserver.ErrSuperseded, "superseded"},
		{appserver.ErrExpired, "expired"}, {appserver.ErrRevoked, "revoked"}, {appserver.ErrSuspended, "suspended"},
		{appserver.ErrTerminated, "terminated"}, {appserver.ErrDenied, "policy"}, {appserver.ErrStale, "stale"},
		{appserver.ErrNotReady, "not_ready"},
	} {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "unavailable"
}
