package appserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/simroot/simroot/api"
)

// Options configures [Open].
type Options struct {
	Platform   *api.Client
	Dir        string
	SealingKey []byte
	MaxStale   time.Duration
	Logger     *slog.Logger
	Clock      func() time.Time
}

type Middleware struct{}

type Status struct {
	Feed      string
	Seq, Head int64
	Contact   time.Time
	Lag       time.Duration
	Connected bool
	Err       error
}

type Change struct {
	ICCID string
	All   bool
}

type Conn struct {
	*tls.Conn
	id Identity
}

var errStub = errors.New("not built yet")

func Open(ctx context.Context, o Options) (*Middleware, error)      { return nil, errStub }
func (m *Middleware) Close() error                                  { return errStub }
func (m *Middleware) Ready(ctx context.Context) error               { return errStub }
func (m *Middleware) Synced() Status                                { return Status{} }
func (m *Middleware) Lookup(fingerprint [32]byte) (Identity, error) { return Identity{}, errStub }
func (m *Middleware) Identify(state tls.ConnectionState) (Identity, error) {
	return Identity{}, errStub
}
func (m *Middleware) TLSConfig(base *tls.Config) *tls.Config                       { return nil }
func (m *Middleware) Listener(inner net.Listener, config *tls.Config) net.Listener { return nil }
func (m *Middleware) Admit(ctx context.Context, conn *tls.Conn) (*Conn, error)     { return nil, errStub }
func (m *Middleware) ConfirmSecret(ctx context.Context, credentialID string) error { return errStub }
func (m *Middleware) Watch(fn func(Change)) (stop func())                          { return nil }
