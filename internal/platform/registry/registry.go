package registry

import (
	"context"
	"io"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/store"
)

type SIMKeys struct {
	KeyVersion    byte
	Domain        []byte
	ENC, MAC, DEK []byte
}

func (SIMKeys) String() string { return "SIM keys" }

type Filter struct {
	Fleet string
	State api.SIMState
}

type Registry struct{}

// transportKey is the private X25519 key (see api.Seal).
func New(s store.Store, e *envelope.Envelope, transportKey []byte, clock func() time.Time) (*Registry, error) {
	panic("soon")
}
func (r *Registry) TransportKey() []byte { panic("soon") } // public
func (r *Registry) CreateFleet(ctx context.Context, actor string, f api.Fleet) (api.Fleet, error) {
	panic("soon")
}
func (r *Registry) Fleet(ctx context.Context, name string) (api.Fleet, error) { panic("soon") }
func (r *Registry) Fleets(ctx context.Context, after string, limit int) (api.Page[api.Fleet], error) {
	panic("soon")
}
func (r *Registry) Import(ctx context.Context, actor, fleet string, batch io.Reader) (api.ImportResult, error) {
	panic("soon")
}
func (r *Registry) SIM(ctx context.Context, iccid string) (api.SIM, error) { panic("soon") }
func (r *Registry) SIMs(ctx context.Context, f Filter, after string, limit int) (api.Page[api.SIM], error) {
	panic("soon")
}
func (r *Registry) Admit(ctx context.Context, iccid string) (api.SIM, api.Fleet, SIMKeys, error) {
	panic("soon")
}
func (r *Registry) Authenticated(ctx context.Context, iccid, session string) error { panic("soon") }
func (r *Registry) Suspend(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error) {
	panic("soon")
}
func (r *Registry) Resume(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error) {
	panic("soon")
}
func (r *Registry) Terminate(ctx context.Context, actor, iccid string, c api.Change) (api.SIM, error) {
	panic("soon")
}
