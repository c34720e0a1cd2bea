package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"google.golang.org/grpc/test/bufconn"

	"github.com/simroot/simroot/internal/rig"
)

// guardCost runs full mutual TLS 1.3 handshakes in memory with a server behind the
// middleware, and with one of crypto/tls alone that checks the same chain, in turns.
func guardCost(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	_, d, err := onlyOne(ctx, r)
	if err != nil {
		return nil, err
	}
	client, err := d.TLSConfig(ctx)
	if err != nil {
		return nil, err
	}
	client.ServerName = "127.0.0.1"
	m, err := r.Middleware(ctx, dir+"/replica")
	if err != nil {
		return nil, err
	}
	defer m.Close()
	own, err := r.ServerCertificate(ctx, "127.0.0.1")
	if err != nil {
		return nil, err
	}
	base := &tls.Config{Certificates: []tls.Certificate{own}, SessionTicketsDisabled: true}
	plain := base.Clone()
	plain.ClientAuth = tls.RequireAndVerifyClientCert
	if plain.ClientCAs, err = deviceCAs(ctx, r); err != nil {
		return nil, err
	}
	guarded := m.TLSConfig(base)

	line := bufconn.Listen(16 << 10)
	defer line.Close()
	handshake := func(admit func(net.Conn) error) error {
		done := make(chan error, 1)
		go func() {
			under, err := line.DialContext(ctx)
			if err == nil {
				err = errors.Join(tls.Client(under, client).HandshakeContext(ctx), under.Close())
			}
			done <- err
		}()
		accepted, err := line.Accept()
		if err != nil {
			return err
		}
		return errors.Join(admit(accepted), <-done, accepted.Close())
	}
	// Both are closed, so that the middleware does not watch the connection any more. The
	// client may be gone by then.
	without := func(c net.Conn) error {
		conn := tls.Server(c, plain)
		err := conn.HandshakeContext(ctx)
		_ = conn.Close()
		return err
	}
	with := func(c net.Conn) error {
		admitted, err := m.Admit(ctx, tls.Server(c, guarded))
		if err == nil {
			_ = admitted.Close()
		}
		return err
	}
	const turns, perTurn = 60, 50
	var times, allocations []float64
	for range turns {
		var spentIn, made [2]float64
		for i, admit := range []func(net.Conn) error{without, with} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begun := spent()
			for range perTurn {
				if err := handshake(admit); err != nil {
					return nil, err
				}
			}
			spentIn[i] = (spent() - begun).Seconds()
			runtime.ReadMemStats(&after)
			made[i] = float64(after.Mallocs-before.Mallocs) / perTurn
		}
		times, allocations = append(times, spentIn[1]/spentIn[0]), append(allocations, made[1]-made[0])
	}
	return []row{{
		"TLS 1.3 handshake of a server behind the middleware against crypto/tls alone: processor time, both ends",
		fmt.Sprintf("%.3f ×, %+.0f allocations", median(times), median(allocations)), "≤ 1.03 ×, ≤ 2 allocations",
	}}, nil
}

// deviceCAs are what the chains of devices may end at.
func deviceCAs(ctx context.Context, r *rig.Rig) (*x509.CertPool, error) {
	anchors, err := os.ReadFile(r.TrustAnchor())
	if err != nil {
		return nil, err
	}
	issuers, err := r.Admin.Issuers(ctx)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for block, rest := pem.Decode(append(anchors, issuers...)); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		pool.AddCert(c)
	}
	return pool, nil
}
