package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/vsim"
)

// secretRate measures how fast a new application server has the secrets of SIMs with PSKs (each is
// opened, sealed and noted in the audit log by the platform), many to a request and one, and what
// using them costs.
func secretRate(ctx context.Context, r *rig.Rig, dir string) (rows []row, err error) {
	const fleet, sims, atOnce = "tags", 1000, 32
	if err := r.Fleet(ctx, fleet, api.Profile{Type: api.PSKType}); err != nil {
		return nil, err
	}
	numbers := make([]string, sims)
	for i := range numbers {
		numbers[i] = iccid(i, fleet)
	}
	states, err := r.SIMs(ctx, fleet, "type2", numbers...)
	if err != nil {
		return nil, err
	}
	cards := make([]*vsim.Card, sims)
	for i := range cards {
		cards[i] = vsim.NewMemory(states[i])
	}
	if _, err := onboardAll(ctx, r, cards, atOnce); err != nil {
		return nil, err
	}
	_, first, err := onboardOne(ctx, r, cards[0])
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	m, err := r.Middleware(ctx, filepath.Join(dir, "server"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	if err := m.SecretsReady(ctx); err != nil {
		return nil, err
	}
	rows = []row{{
		fmt.Sprintf("a new application server fetches the secrets of %d PSKs", sims),
		fmt.Sprintf("%.0f/s", sims/time.Since(begun).Seconds()), "",
	}}
	fetched, err := handedOut(ctx, r)
	if err != nil {
		return nil, err
	}
	more, err := sealedHandshakes(m, first.Identity)
	return append(append(rows, fetched), more...), err
}

// handedOut holds an application server that asks for many secrets at once to one that asks for each alone. They
// take turns, with 8 requests under way, and open what they are given.
func handedOut(ctx context.Context, r *rig.Rig) (row, error) {
	var ids []string
	for c, err := range r.Admin.Credentials(ctx, api.CredentialFilter{State: api.Active}) {
		if err != nil {
			return row{}, err
		}
		ids = append(ids, c.ID)
	}
	private, public, err := api.GenerateSealKey()
	if err != nil {
		return row{}, err
	}
	opener, err := api.NewOpener(private)
	if err != nil {
		return row{}, err
	}
	token, err := r.Admin.CreateToken(ctx, api.TokenRequest{Name: "application server", Role: api.RoleAppServer, SealingKey: public})
	if err != nil {
		return row{}, err
	}
	client, err := r.Client(token.Secret)
	if err != nil {
		return row{}, err
	}
	defer client.Close()
	many := func(ctx context.Context, ids []string) error {
		items, err := client.Secrets(ctx, ids)
		for _, h := range items {
			if h.Refusal != nil {
				return h.Refusal
			}
			_, openErr := opener.Open(h.Credential, h.Sealed)
			err = errors.Join(err, openErr)
		}
		return err
	}
	one := func(ctx context.Context, ids []string) error {
		sealed, err := client.Secret(ctx, ids[0])
		if err != nil {
			return err
		}
		_, err = opener.Open(ids[0], sealed.Sealed)
		return err
	}
	const turns, rounds = 5, 4 // in a turn, all secrets are asked for so often
	rates := make([][]float64, 2)
	for range turns {
		for i, way := range []struct {
			ask  func(context.Context, []string) error
			size int
		}{{many, api.MaxSecrets}, {one, 1}} {
			group, ctx := errgroup.WithContext(ctx)
			group.SetLimit(8)
			begun := time.Now()
			for range rounds {
				for some := range slices.Chunk(ids, way.size) {
					group.Go(func() error { return way.ask(ctx, some) })
				}
			}
			if err := group.Wait(); err != nil {
				return row{}, err
			}
			rates[i] = append(rates[i], float64(rounds*len(ids))/time.Since(begun).Seconds())
		}
	}
	a, b := median(rates[0]), median(rates[1])
	return row{fmt.Sprintf("PSKs handed out, sealed, %d to a request against one by one", api.MaxSecrets), fmt.Sprintf("%.0f/s against %.0f/s: %.1f ×", a, b, a/b), ""}, nil
}

// sealedHandshakes holds a server whose secrets are sealed on disk to one that has them in memory,
// and what it does with an unknown identity to what it does with a wrong key. All take turns,
// handshake by handshake, client and server over a pipe.
func sealedHandshakes(m *appserver.Middleware, identity string) (rows []row, err error) {
	secret, refusal, err := m.RevealPSK([]byte(identity))
	if err = errors.Join(refusal, err); err != nil {
		return nil, err
	}
	sealed, err := m.PSKConfig(nil)
	if err != nil {
		return nil, err
	}
	known := psktls.SecretKey(secret)
	memory := &psktls.Config{GetKey: func(context.Context, []byte) (psktls.Key, error) { return known, nil }}
	wrong := psktls.SecretKey(make([]byte, len(secret)))
	clear(secret)
	kinds := []struct {
		server   *psktls.Config
		identity string
		key      psktls.Key
		letIn    bool
	}{
		{sealed, identity, known, true}, {memory, identity, known, true},
		{sealed, strings.Repeat("x", len(identity)), wrong, false}, {sealed, identity, wrong, false},
	}
	const turns = 3000
	for _, version := range []uint16{psktls.VersionTLS12, psktls.VersionTLS13} {
		took := make([][]float64, len(kinds))
		for turn := range turns {
			for i := range kinds {
				i = (i + turn) % len(kinds) // none always comes behind the same other, which may still be clearing up
				k := kinds[i]
				client := &psktls.Config{Identity: []byte(k.identity), Key: k.key, MinVersion: version, MaxVersion: version}
				begun := time.Now()
				if letIn := pskPipe(k.server, client); letIn != k.letIn {
					return nil, fmt.Errorf("%s: let in: %v, want %v", tls.VersionName(version), letIn, k.letIn)
				}
				took[i] = append(took[i], float64(time.Since(begun).Nanoseconds())/1000)
			}
		}
		compare := func(a, b int) string {
			x, y := median(took[a]), median(took[b])
			return fmt.Sprintf("median %.0f µs against %.0f µs: %.3f ×", x, y, x/y)
		}
		rows = append(rows,
			row{tls.VersionName(version) + " PSK handshake, identity looked up and secret sealed on disk, against a key in memory", compare(0, 1), "≤ 1.03 ×"},
			row{tls.VersionName(version) + " PSK refusal, unknown identity against wrong key", compare(2, 3), "1 ×"})
	}
	return rows, nil
}

// pskPipe runs one handshake, and tells whether the client was let in.
func pskPipe(server, client *psktls.Config) bool {
	there, here := net.Pipe()
	defer there.Close()
	done := make(chan error, 1)
	go func() { done <- psktls.Server(there, server).Handshake() }()
	err := psktls.Client(here, client).Handshake()
	if err != nil {
		here.Close()
	}
	served := <-done
	here.Close()
	return err == nil && served == nil
}
