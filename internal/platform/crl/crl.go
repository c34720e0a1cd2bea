package crl

import (
	"context"
	"time"

	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/store"
)

type Publisher struct{}

func New(s store.Store, c *ca.CA, clock func() time.Time) *Publisher { panic("soon") }
func (p *Publisher) Current(ctx context.Context) ([]byte, error)     { panic("soon") }
