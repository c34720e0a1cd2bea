package credential

import (
	"context"
	"crypto/ecdsa"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/store"
)

type Life struct{}
type Record struct {
	api.Credential
	PublicKey []byte // SPKI DER
}
type Filter struct {
	ICCID, Fleet string
	State        api.CredentialState
}

func New(s store.Store, e *envelope.Envelope, c *ca.CA, clock func() time.Time) *Life { panic("soon") }
func (l *Life) Current(ctx context.Context, iccid string) ([]Record, error)           { panic("soon") }
func (l *Life) Request(ctx context.Context, session, iccid string, slot int) (Record, error) {
	panic("soon")
}
func (l *Life) Keyed(ctx context.Context, session, id string, key *ecdsa.PublicKey) (Record, error) {
	panic("soon")
}
func (l *Life) KeyedSecret(ctx context.Context, session, id string) ([]byte, Record, error) {
	panic("soon")
}
func (l *Life) Issue(ctx context.Context, session, id string) (Record, error)   { panic("soon") }
func (l *Life) Deliver(ctx context.Context, session, id string) (Record, error) { panic("soon") }
func (l *Life) Activate(ctx context.Context, session, id string, c *api.Confirmation) (Record, error) {
	panic("soon")
}
func (l *Life) Abandon(ctx context.Context, session, id, note string) error { panic("soon") }
func (l *Life) Revoke(ctx context.Context, actor, id string, c api.Change) (api.Credential, error) {
	panic("soon")
}
func (l *Life) RevokeSIM(ctx context.Context, actor, iccid string, c api.Change) ([]api.Credential, error) {
	panic("soon")
}
func (l *Life) Credential(ctx context.Context, id string) (api.Credential, error) { panic("soon") }
func (l *Life) Credentials(ctx context.Context, f Filter, after string, limit int) (api.Page[api.Credential], error) {
	panic("soon")
}
func (l *Life) Secret(ctx context.Context, id string) ([]byte, error)  { panic("soon") }
func (l *Life) Expire(ctx context.Context, now time.Time) (int, error) { panic("soon") }
