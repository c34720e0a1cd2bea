package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// crowdTimes measures a revocation and a new SIM in a crowd: twenty application servers that
// follow one platform, with ten thousand connections open among them. Every SIM has one at
// every server, so that a revocation has all servers to reach.
func crowdTimes(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	const servers, connections, revoked, fresh = 20, 10_000, 50, 50
	const sims = connections / servers
	states, err := oneFleet(ctx, r, sims+fresh)
	if err != nil {
		return nil, err
	}
	crowd := make([]*server, servers)
	for i := range crowd {
		start := startServer
		if i%2 == 1 { // both ends of all connections are more files than a process may often have
			start = startServerInMemory
		}
		if crowd[i], err = start(ctx, r, filepath.Join(dir, fmt.Sprint(i))); err != nil {
			return nil, err
		}
		defer crowd[i].close()
	}
	iccids, configs := make([]string, sims), make([]*tls.Config, sims)
	conns := make([][]net.Conn, sims)
	group, onboarding := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range sims {
		group.Go(func() error {
			d, credential, err := onboardOne(onboarding, r, vsim.NewMemory(states[i]))
			if err != nil {
				return err
			}
			iccids[i] = states[i].ICCID
			if configs[i], err = d.TLSConfig(ctx); err != nil {
				return err
			}
			for _, s := range crowd {
				if err := rig.Await(ctx, s.middleware, credential); err != nil {
					return err
				}
				conn, err := s.dial(ctx, configs[i])
				if err != nil {
					return err
				}
				conns[i] = append(conns[i], conn)
			}
			return nil
		})
	}
	defer func() {
		for _, list := range conns {
			for _, c := range list {
				c.Close()
			}
		}
	}()
	if err := group.Wait(); err != nil {
		return nil, err
	}

	var closed []float64
	for i := range revoked {
		took := make([]float64, servers)
		var ended sync.WaitGroup
		called := time.Now()
		for n, conn := range conns[i] {
			ended.Go(func() {
				_, _ = conn.Read(make([]byte, 1))
				took[n] = ms(time.Since(called))
			})
		}
		if _, err := r.Admin.RevokeSIM(ctx, iccids[i], api.Change{}); err != nil {
			return nil, err
		}
		ended.Wait()
		closed = append(closed, took...)
		for _, s := range crowd {
			if err := s.handshake(ctx, configs[i]); err == nil {
				return nil, errors.New("a revoked SIM was let in")
			}
		}
	}
	var known []float64
	for _, s := range states[sims:] {
		// The clock starts when the credential is asked for: its issue comes later.
		_, credential, err := onboardOne(ctx, r, vsim.NewMemory(s))
		if err != nil {
			return nil, err
		}
		for _, s := range crowd {
			if err := rig.Await(ctx, s.middleware, credential); err != nil {
				return nil, err
			}
			known = append(known, ms(time.Since(credential.Created)))
		}
	}
	name := fmt.Sprintf(", %d application servers with %d connections", servers, connections)
	return []row{
		{"revoke called → live connection closed" + name, fmt.Sprintf("median %.1f ms, p99 %.1f ms", median(closed), quantile(closed, 0.99)), "p99 ≤ 1 s"},
		{"credential requested by a new SIM → accepted, the onboarding included" + name, fmt.Sprintf("median %.1f ms, p99 %.1f ms", median(known), quantile(known, 0.99)), "p99 ≤ 1 s"},
	}, nil
}
