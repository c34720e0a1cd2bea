package token

import (
	"context"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

type Principal struct {
	ID, Name   string
	Role       api.Role
	SealingKey []byte
}
type Tokens struct{}

func New(s store.Store, clock func() time.Time) *Tokens { panic("soon") }
func (t *Tokens) Create(ctx context.Context, actor string, r api.TokenRequest) (api.NewToken, error) {
	panic("soon")
}
func (t *Tokens) Authenticate(ctx context.Context, secret string) (Principal, error) { panic("soon") }
func (t *Tokens) List(ctx context.Context, after string, limit int) (api.Page[api.Token], error) {
	panic("soon")
}
func (t *Tokens) Withdraw(ctx context.Context, actor, id string) error { panic("soon") }
