package appserver

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/simroot/simroot/api"
)

// Identity is who speaks on a connection.
type Identity struct {
	ICCID      string             // the SIM
	Fleet      string             // the fleet it belongs to
	Credential string             // the ID of the credential it has shown
	Type       api.CredentialType // a certificate or a PSK
	NotAfter   time.Time          // the end of that credential
	Attributes Attributes         // what the operator has noted of the SIM, as of this look at it
}

// The reasons why a credential is refused. Test for them with [errors.Is].
var (
	ErrUnknown    = errors.New("credential is unknown to the platform")
	ErrNotIssued  = errors.New("credential has not been delivered to its SIM")
	ErrSuperseded = errors.New("credential was replaced by a newer one")
	ErrExpired    = errors.New("credential has expired")
	ErrRevoked    = errors.New("credential is revoked")
	ErrSuspended  = errors.New("SIM is suspended")
	ErrTerminated = errors.New("SIM is terminated")
	ErrDenied     = errors.New("the application server's policy denies it")
)

// The reasons why no credential at all is accepted.
var (
	ErrNotReady = errors.New("no state was received from the platform yet")
	ErrStale    = errors.New("the platform was out of reach for longer than the limit")
	ErrClosed   = errors.New("the middleware is closed")
)

// IdentityOf tells who speaks on a connection that a [Listener], [Middleware.Admit] or
// [Middleware.Enlist] returned, and false for any other. It looks through wrappers with a
// NetConn method.
func IdentityOf(conn net.Conn) (Identity, bool) {
	for conn != nil {
		switch c := conn.(type) {
		case *Conn:
			return c.Identity(), true
		case *underlay:
			return c.above.Identity(), c.above.home != nil
		}
		wrapper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		conn = wrapper.NetConn()
	}
	return Identity{}, false
}

type identityKey struct{}

// ConnContext is for the field of the same name of an [net/http.Server] that serves a
// [Listener]: it puts the identity where [FromContext] finds it in every request.
func ConnContext(ctx context.Context, conn net.Conn) context.Context {
	if id, ok := IdentityOf(conn); ok {
		return context.WithValue(ctx, identityKey{}, id)
	}
	return ctx
}

// FromContext is the identity that [ConnContext] put into the context of a request.
func FromContext(ctx context.Context) (Identity, bool) {
	id, ok := ctx.Value(identityKey{}).(Identity)
	return id, ok
}
