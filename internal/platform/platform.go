// Package platform puts the security services platform together: its services on one data
// folder. The relay and the HTTP interface are built on them.
//
// The folder holds the store (platform.db), the CA (ca/), the key-encryption key (kek.key)
// and the private transport key of batch files (transport.key).
package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/audit"
	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/credential"
	"github.com/simroot/simroot/internal/platform/crl"
	"github.com/simroot/simroot/internal/platform/envelope"
	"github.com/simroot/simroot/internal/platform/feed"
	"github.com/simroot/simroot/internal/platform/registry"
	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
	"github.com/simroot/simroot/internal/platform/token"
)

// What the data folder holds.
const (
	storeFile     = "platform.db"
	caFolder      = "ca"
	kekFile       = "kek.key"
	transportFile = "transport.key"
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

// ErrInitialized is returned by [Init] for a folder that holds a platform.
var ErrInitialized = errors.New("platform: the folder holds a platform already")

// Initialized tells whether a folder holds a platform. One whose initialisation was cut
// short holds none, and [Init] begins it anew.
func Initialized(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, storeFile))
	return err == nil
}

// Init makes keys, CA and store in a folder, and returns the first administrator's token,
// which is shown this once. A nil clock means time.Now.
func Init(ctx context.Context, dir string, now func() time.Time) (first api.NewToken, err error) {
	if Initialized(dir) {
		return first, fmt.Errorf("%w: %s", ErrInitialized, dir)
	}
	// All is made beside the folder's final files, and the store, which is how the folder
	// is known, is moved in last.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return first, fmt.Errorf("platform: %w", err)
	}
	fresh, err := os.MkdirTemp(dir, ".init-")
	if err != nil {
		return first, fmt.Errorf("platform: %w", err)
	}
	defer os.RemoveAll(fresh)
	if first, err = initialize(ctx, fresh, now); err != nil {
		return first, err
	}
	for _, name := range []string{caFolder, kekFile, transportFile, storeFile} {
		// What an initialisation that was cut short has left is of no use to anyone.
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return first, fmt.Errorf("platform: %w", err)
		}
		if err := os.Rename(filepath.Join(fresh, name), filepath.Join(dir, name)); err != nil {
			return first, fmt.Errorf("platform: %w", err)
		}
	}
	return first, nil
}

func initialize(ctx context.Context, dir string, now func() time.Time) (first api.NewToken, err error) {
	if err := ca.Init(filepath.Join(dir, caFolder)); err != nil {
		return first, err
	}
	if _, err := envelope.CreateFileKEK(filepath.Join(dir, kekFile)); err != nil {
		return first, fmt.Errorf("platform: %w", err)
	}
	if err := registry.CreateTransportKey(filepath.Join(dir, transportFile)); err != nil {
		return first, fmt.Errorf("platform: %w", err)
	}
	s, err := Open(ctx, dir, now)
	if err != nil {
		return first, err
	}
	first, err = s.Tokens.Create(ctx, audit.Platform, api.TokenRequest{Name: "first administrator", Role: api.RoleAdmin})
	return first, errors.Join(err, s.Close())
}

// Open opens the platform in a folder. A nil clock means time.Now.
func Open(ctx context.Context, dir string, now func() time.Time) (*Services, error) {
	authority, err := ca.Open(filepath.Join(dir, caFolder))
	if err != nil {
		return nil, err
	}
	kek, err := envelope.OpenFileKEK(filepath.Join(dir, kekFile))
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	transport, err := registry.OpenTransportKey(filepath.Join(dir, transportFile))
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	db, err := sqlite.Open(ctx, filepath.Join(dir, storeFile))
	if err != nil {
		return nil, err
	}
	s := &Services{Store: db, CA: authority}
	sealed := envelope.New(kek)
	s.Life = credential.New(db, sealed, authority, now)
	s.CRL = crl.New(db, authority, now)
	s.Tokens = token.New(db, now)
	s.Audit = audit.New(db)
	if s.Feed, err = feed.New(ctx, db); err == nil {
		s.Registry, err = registry.New(db, sealed, transport, now)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// Close ends all services. What was answered before is on disk.
func (s *Services) Close() error { return s.Store.Close() }
