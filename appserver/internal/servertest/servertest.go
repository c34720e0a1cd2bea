// Package servertest opens middlewares over a platform for tests, and has what stands on either
// side of a server: the application behind it and the client of a SIM.
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
const Patience = time.Minute

// Server is a middleware and what secrets are to be sealed to for it.
type Server struct {
	*appserver.Middleware
	Public []byte

	platform *platformtest.Platform
}

// Open opens a middleware that ends with the test, with options of its own.
func Open(t testing.TB, p *platformtest.Platform, changes ...func(*appserver.Options)) *Server {
	t.Helper()
	private, public, err := api.GenerateSealKey()
	if err != nil {
		t.Fatal(err)
	}
	o := appserver.Options{Platform: p.Client, Dir: t.TempDir(), SealingKey: private, Logger: slog.New(slog.DiscardHandler)}
	for _, change := range changes {
		change(&o)
	}
	m, err := appserver.Open(t.Context(), o)
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
