package feed

import (
	"context"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

type Feed struct{}

func New(ctx context.Context, s store.Store) (*Feed, error) { panic("soon") }
func (f *Feed) ID() string                                  { panic("soon") }
func (f *Feed) Head() int64                                 { panic("soon") }
func (f *Feed) Read(ctx context.Context, after int64, limit int) ([]api.Event, error) {
	panic("soon")
}

// Wait returns nil once the head is above after, or the cause of ctx's end.
func (f *Feed) Wait(ctx context.Context, after int64) error { panic("soon") }
