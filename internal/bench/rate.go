package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

// iccid is the n-th number of a fleet.
func iccid(n int, fleet string) string { return fmt.Sprintf("8988211%03d%09d", len(fleet), n) }

// oneFleet makes a fleet of n virtual SIMs for certificates.
func oneFleet(ctx context.Context, r *rig.Rig, n int) ([]image.State, error) {
	const fleet = "meters"
	if err := r.Fleet(ctx, fleet, api.Profile{}); err != nil {
		return nil, err
	}
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = iccid(i, fleet)
	}
	return r.SIMs(ctx, fleet, "common", numbers...)
}

// onlyOne makes a fleet of one SIM and onboards it. A middleware that is opened after that knows its
// credential as soon as it is ready.
func onlyOne(ctx context.Context, r *rig.Rig, options ...vsim.Option) (*vsim.Card, *device.Device, error) {
	states, err := oneFleet(ctx, r, 1)
	if err != nil {
		return nil, nil, err
	}
	sim := vsim.NewMemory(states[0], options...)
	d, _, err := onboardOne(ctx, r, sim)
	return sim, d, err
}

func onboardOne(ctx context.Context, r *rig.Rig, c card.Conn) (*device.Device, api.Credential, error) {
	d, err := device.New(ctx, c)
	if err != nil {
		return nil, api.Credential{}, err
	}
	done, err := d.Onboard(ctx, r.Agent)
	return d, done.Credential, err
}

// handshakeRate runs full mutual TLS 1.3 handshakes over a pipe, with the key in a virtual
// SIM and with a key in memory, in turns.
func handshakeRate(ctx context.Context, r *rig.Rig, _ string) ([]row, error) {
	_, d, err := onlyOne(ctx, r)
	if err != nil {
		return nil, err
	}
	inSIM, err := d.Certificate(ctx)
	if err != nil {
		return nil, err
	}
	inMemory, err := selfSigned()
	if err != nil {
		return nil, err
	}
	own, err := r.ServerCertificate(ctx, "localhost")
	if err != nil {
		return nil, err
	}
	serverConfig := &tls.Config{Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}
	const turns, perTurn = 20, 50
	var ratios, simRates, memoryRates []float64
	for range turns {
		sim, err := rate(perTurn, func() error { return pipeHandshake(ctx, serverConfig, inSIM) })
		if err != nil {
			return nil, err
		}
		memory, err := rate(perTurn, func() error { return pipeHandshake(ctx, serverConfig, inMemory) })
		if err != nil {
			return nil, err
		}
		simRates, memoryRates, ratios = append(simRates, sim), append(memoryRates, memory), append(ratios, sim/memory)
	}
	return []row{{
		"TLS 1.3 handshakes, key in a virtual SIM against key in memory",
		fmt.Sprintf("%.0f/s against %.0f/s: %.2f ×", median(simRates), median(memoryRates), median(ratios)), "≥ 0.8 ×",
	}}, nil
}

func selfSigned() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "in memory"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func pipeHandshake(ctx context.Context, serverConfig *tls.Config, own *tls.Certificate) error {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	client := tls.Client(a, &tls.Config{
		InsecureSkipVerify:   true, // the same on both sides of the comparison: the key is what is measured
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil },
	})
	done := make(chan error, 1)
	go func() { done <- tls.Server(b, serverConfig).HandshakeContext(ctx) }()
	if err := client.HandshakeContext(ctx); err != nil {
		return err
	}
	return <-done
}

// rate is how often do can be done in a second.
func rate(n int, do func() error) (float64, error) {
	start := time.Now()
	for range n {
		if err := do(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(start).Seconds(), nil
}

func median(values []float64) float64 { return quantile(values, 0.5) }

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// kindOfSIM is how a virtual SIM keeps what it holds.
type kindOfSIM struct {
	name string
	open func(image.State) (*vsim.Card, error)
}

// kindsOfSIM are files that are synced at each change, as in a SIM's memory, and none.
func kindsOfSIM(dir string) []kindOfSIM {
	return []kindOfSIM{
		{"SIM images in files and synced", func(s image.State) (*vsim.Card, error) {
			return vsim.Create(filepath.Join(dir, string(s.ICCID)+".sim"), s)
		}},
		{"SIMs in memory", func(s image.State) (*vsim.Card, error) { return vsim.NewMemory(s), nil }},
	}
}

// onboardingRate switches many devices on at once: virtual SIMs, agents, platform and feed
// on this machine, every commit synced.
func onboardingRate(ctx context.Context, r *rig.Rig, dir string) ([]row, error) {
	const sims, atOnce = 1500, 32
	states, err := oneFleet(ctx, r, 2*sims)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, kind := range kindsOfSIM(dir) {
		cards := make([]*vsim.Card, sims)
		for j := range cards {
			if cards[j], err = kind.open(states[i*sims+j]); err != nil {
				return nil, err
			}
		}
		start := time.Now()
		took, err := onboardAll(ctx, r, cards, atOnce)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{
			fmt.Sprintf("complete onboardings, %d at once, %s", atOnce, kind.name),
			fmt.Sprintf("%.0f/s (each: median %.0f ms, p99 %.0f ms)", sims/time.Since(start).Seconds(), median(took), quantile(took, 0.99)), "≥ 300/s",
		})
		for _, c := range cards {
			if err := c.Close(); err != nil {
				return nil, err
			}
		}
	}
	return rows, nil
}

// onboardAll onboards all cards, some at once, and returns how long each took, in milliseconds.
func onboardAll(ctx context.Context, r *rig.Rig, cards []*vsim.Card, atOnce int) ([]float64, error) {
	took := make([]float64, len(cards))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, c := range cards {
		group.Go(func() error {
			begun := time.Now()
			_, _, err := onboardOne(ctx, r, c)
			took[i] = ms(time.Since(begun))
			return err
		})
	}
	return took, group.Wait()
}
