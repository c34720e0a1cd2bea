package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/e2e/realparts"
	"github.com/simroot/simroot/internal/platform"
	"github.com/simroot/simroot/internal/rig"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

// inTurns sends each request of one agent to another node than the one before.
type inTurns struct {
	clients []*api.Client
	turn    int
}

func (t *inTurns) next() *api.Client {
	t.turn++
	return t.clients[t.turn%len(t.clients)]
}

func (t *inTurns) OpenRelay(ctx context.Context, o api.RelayOpen) (api.RelayStep, error) {
	return t.next().OpenRelay(ctx, o)
}

func (t *inTurns) AnswerRelay(ctx context.Context, session string, a api.RelayAnswers) (api.RelayStep, error) {
	return t.next().AnswerRelay(ctx, session, a)
}

// onPostgres starts a PostgreSQL server and a node on a database of it.
func onPostgres(dir string) (cluster *realparts.Cluster, node *rig.Rig, stop func() error, err error) {
	if cluster, err = realparts.StartCluster(); err != nil {
		return nil, nil, nil, err
	}
	connection, err := cluster.Create()
	if err == nil {
		node, err = rig.NewOn(filepath.Join(dir, "node"), platform.Options{Store: connection, NodeAddress: "127.0.0.1:0"})
	}
	if err != nil {
		return nil, nil, nil, errors.Join(err, cluster.Stop())
	}
	return cluster, node, func() error { return errors.Join(node.Stop(), cluster.Stop()) }, nil
}

// nodesRate compares SQLite, one node and two nodes on PostgreSQL, in turns, all in this process but
// the database's server. Agents keep to a node, or go to each in turn.
func nodesRate(ctx context.Context, r *rig.Rig, dir string) (rows []row, err error) {
	cluster, first, stop, err := onPostgres(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	second, err := first.Beside()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, second.Stop()) }()

	const turns, sims, atOnce = 4, 300, 32
	onSQLite, err := oneFleet(ctx, r, turns*sims)
	if err != nil {
		return nil, err
	}
	onPostgres, err := oneFleet(ctx, first, 3*turns*sims)
	if err != nil {
		return nil, err
	}
	both := []*api.Client{first.Agent, second.Agent}
	kinds := []struct {
		name   string
		states []image.State
		agent  func(i int) device.Platform
		rates  []float64
		cpu    cpuTimes
	}{
		{"SQLite", onSQLite, func(int) device.Platform { return r.Agent }, nil, cpuTimes{}},
		{"one node on PostgreSQL", onPostgres[:turns*sims], func(int) device.Platform { return first.Agent }, nil, cpuTimes{}},
		{"two nodes on PostgreSQL, half of the agents at each", onPostgres[turns*sims : 2*turns*sims], func(i int) device.Platform { return both[i%2] }, nil, cpuTimes{}},
		{"two nodes on PostgreSQL, each request to the other node", onPostgres[2*turns*sims:], func(i int) device.Platform { return &inTurns{both, i} }, nil, cpuTimes{}},
	}
	for turn := range turns {
		for i := range kinds {
			k := &kinds[i]
			before, err := cpuTime(cluster)
			if err != nil {
				return nil, err
			}
			start := time.Now()
			group, ctx := errgroup.WithContext(ctx)
			group.SetLimit(atOnce)
			for j, s := range k.states[turn*sims : (turn+1)*sims] {
				group.Go(func() error {
					d, err := device.New(ctx, vsim.NewMemory(s))
					if err != nil {
						return err
					}
					_, err = d.Onboard(ctx, k.agent(j))
					return err
				})
			}
			if err := group.Wait(); err != nil {
				return nil, fmt.Errorf("%s: %w", k.name, err)
			}
			k.rates = append(k.rates, sims/time.Since(start).Seconds())
			after, err := cpuTime(cluster)
			if err != nil {
				return nil, err
			}
			k.cpu.own += after.own - before.own
			k.cpu.server += after.server - before.server
		}
	}
	base := median(kinds[0].rates)
	for _, k := range kinds {
		rows = append(rows, row{
			fmt.Sprintf("complete onboardings, %d at once, SIMs in memory, in turns: %s", atOnce, k.name),
			fmt.Sprintf("%.0f/s (%.2f × SQLite), with %.1f ms of processor each: %.1f ms for SIM, agent and platform, %.1f ms for the database's server",
				median(k.rates), median(k.rates)/base, ms(k.cpu.own+k.cpu.server)/(turns*sims), ms(k.cpu.own)/(turns*sims), ms(k.cpu.server)/(turns*sims)),
			"≥ 300/s: ≤ 6.6 ms on two cores",
		})
	}
	return rows, nil
}

// importPostgres is importScale on PostgreSQL.
func importPostgres(ctx context.Context, _ *rig.Rig, dir string) (rows []row, err error) {
	cluster, r, stop, err := onPostgres(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	rows, err = importInto(ctx, r, dir, func() (time.Duration, error) {
		t, err := cpuTime(cluster)
		return t.own + t.server, err
	})
	for i := range rows {
		rows[i].what += ", PostgreSQL"
	}
	return rows, err
}

// cpuTimes are the processor times of this process and of the database's server.
type cpuTimes struct{ own, server time.Duration }

func cpuTime(cluster *realparts.Cluster) (t cpuTimes, err error) {
	if t.own, err = ownCPU(); err == nil {
		t.server, err = cluster.CPU()
	}
	return t, err
}

// ownCPU is the processor time of this process.
func ownCPU() (time.Duration, error) {
	var own syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	return time.Duration(own.Utime.Nano() + own.Stime.Nano()), err
}
