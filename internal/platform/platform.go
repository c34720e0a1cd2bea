// Package platform is the security services platform: it puts the services together over
// one data directory and serves them.
package platform

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Options configures a platform.
type Options struct {
	// Names are further DNS names and IP addresses that the platform's own TLS
	// certificate is good for, besides those of this machine.
	Names []string
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
	// Log receives the request log and what goes wrong inside; nil means nowhere.
	Log *slog.Logger
}

// Platform is an open platform.
type Platform struct{}

// Init makes a platform in dir, which it creates, and returns the first admin token. The
// token is shown this once. A directory that holds a platform already is refused.
func Init(dir string, o Options) (token string, err error) { return "", nil }

// Open opens the platform in dir.
func Open(dir string, o Options) (*Platform, error) { return &Platform{}, nil }

// Serve answers requests on l, over TLS with the platform's certificate, until ctx ends; it
// then ends the feeds, lets the other requests finish, and closes l.
func (p *Platform) Serve(ctx context.Context, l net.Listener) error { return nil }

// Close releases what the platform holds open.
func (p *Platform) Close() error { return nil }
