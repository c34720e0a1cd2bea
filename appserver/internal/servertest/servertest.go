// Package servertest opens middlewares over a platform for tests.
package servertest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/internal/platformtest"
)

// Patience is how long a test waits for what must come.
const Patience = 20 * time.Second

// Server is a middleware and what secrets are to be sealed to for it.
type Server struct {
	*appserver.Middleware
	Public []byte

	platform *platformtest.Platform
}

// Open opens a middleware that ends with the test.
func Open(t testing.TB, p *platformtest.Platform) *Server {
	t.Helper()
	private, public, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	m, err := appserver.Open(t.Context(), appserver.Options{
		Platform: p.Client, Dir: t.TempDir(), SealingKey: private, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	s := &Server{m, public, p}
	s.InStep(t)
	return s
}

// InStep waits until the middleware has all that the platform has.
func (s *Server) InStep(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if err := s.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	stop := s.Watch(func(appserver.Change) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for s.Synced().Seq < s.platform.Head() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("waited in vain: %+v", s.Synced())
		}
	}
	if err := s.SecretsReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// Accept is the next connection that was let in.
func Accept(t testing.TB, ln *appserver.Listener) *appserver.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	conn, err := ln.AcceptWithContext(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(Patience)) //nolint:errcheck // the test would hang and tell
	return conn.(*appserver.Conn)
}
