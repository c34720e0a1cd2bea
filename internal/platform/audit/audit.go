package audit

import (
	"context"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

type Log struct{}

func New(s store.Store) *Log { panic("soon") }
func (l *Log) List(ctx context.Context, after string, limit int) (api.Page[api.AuditEntry], error) {
	panic("soon")
}
