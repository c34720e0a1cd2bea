package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
)

// revocationTime measures from the call that revokes to the moment the live connection
// ends, and checks that from then on the SIM is refused.
func revocationTime(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	const sims = 200
	states, err := oneFleet(ctx, r, sims)
	if err != nil {
		return nil, err
	}
	server, err := startServer(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	defer server.close()
	var fromCall, fromAnswer []float64
	for _, s := range states {
		d, credential, err := onboardOne(ctx, r, vsim.NewMemory(s))
		if err != nil {
			return nil, err
		}
		config, err := d.TLSConfig(ctx)
		if err != nil {
			return nil, err
		}
		if err := rig.Await(ctx, server.middleware, credential); err != nil {
			return nil, err
		}
		conn, err := server.dial(ctx, config)
		if err != nil {
			return nil, err
		}
		called := time.Now()
		if _, err := r.Admin.RevokeSIM(ctx, s.ICCID, api.Change{}); err != nil {
			return nil, err
		}
		answered := time.Now()
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			return nil, errors.New("the server sent something instead of hanging up")
		}
		fromCall = append(fromCall, ms(time.Since(called)))
		fromAnswer = append(fromAnswer, ms(time.Since(answered)))
		conn.Close()
		if err := server.handshake(ctx, config); err == nil {
			return nil, fmt.Errorf("SIM %s was let in after its revocation", s.ICCID)
		}
	}
	return []row{
		{"revoke called → live connection closed and refused", fmt.Sprintf("median %.1f ms, p99 %.1f ms", median(fromCall), quantile(fromCall, 0.99)), "p99 ≤ 1 s"},
		{"revoke answered → the same", fmt.Sprintf("median %.1f ms, p99 %.1f ms", median(fromAnswer), quantile(fromAnswer, 0.99)), ""},
	}, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
