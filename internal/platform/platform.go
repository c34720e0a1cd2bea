// Package platform puts the platform's services together on one data directory.
package platform

import (
	"context"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/token"
)

// Services are all services of one platform node.
type Services struct {
	Store    store.Store
	Registry *registry.Registry
	Life     *credential.Life
	CA       *ca.CA
	CRL      *crl.Publisher
	Feed     *feed.Feed
	Tokens   *token.Tokens
	Audit    *audit.Log
}

// Init makes keys, CA and an empty store in dir, which must not hold a platform yet, and
// returns the first admin token, which is shown this once.
func Init(ctx context.Context, dir string, clock func() time.Time) (api.NewToken, error) {
	panic("soon")
}

// Initialized tells whether dir holds a platform.
func Initialized(dir string) bool { panic("soon") }

// Open opens the platform in dir. A nil clock means time.Now.
func Open(ctx context.Context, dir string, clock func() time.Time) (*Services, error) { panic("soon") }

// Close ends all services; what was acknowledged is on disk.
func (s *Services) Close() error { panic("soon") }
