// Command bench measures simroot on this machine and prints a table: what an onboarding
// and a handshake cost the SIM, how fast they go beside the same thing without a SIM, and
// how long a revocation takes to be felt.
//
// What is compared runs in turns in one process, so that a noisy machine disturbs both.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/simroot/simroot/internal/rig"
)

func main() {
	write := flag.String("write", "", "also write the table to this Markdown file")
	only := flag.String("only", "", "measure only what has this in its name")
	growing := flag.Bool("growth", false, "measure growth instead: the same with 10,000 and with 1,000,000 SIMs (takes minutes and gigabytes)")
	grown := flag.Int("grown", 1_000_000, "with -growth: how many SIMs that is")
	flooding := flag.Int("flood", 0, "measure instead how soon shards of the revocation list show it while so many credentials are revoked")
	flag.Parse()
	if *flooding > 0 {
		if err := flood(context.Background(), *flooding); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if *growing {
		if err := growth(context.Background(), *grown); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(*write, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// row is one line of the table.
type row struct{ what, measured, goal string }

// measurement is one thing to measure on a rig.
type measurement struct {
	name string
	run  func(context.Context, *rig.Rig, string) ([]row, error)
}

func run(write, only string) error {
	dir, err := os.MkdirTemp("", "simroot-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var rows []row
	for _, m := range []measurement{
		{"cost of an onboarding", onboardingCost},
		{"cost of a handshake", handshakeCost},
		{"cost of all in the SIM", allInSIMCost},
		{"handshakes per second", handshakeRate},
		{"onboardings per second", onboardingRate},
		{"stages of an onboarding", onboardingStages},
		{"two nodes on PostgreSQL", nodesRate},
		{"tunnel throughput", tunnelRate},
		{"revocation", revocationTime},
		{"campaign of revocation", campaignTime},
		{"warm reconnect through a modem", reconnectTime},
		{"secrets for a new application server", secretRate},
		{"handshakes and throughput of psktls", pskRates},
		{"middleware in the handshake", guardCost},
		{"terminator", terminatorCost},
		{"enrolments per second", enrolmentRate},
		{"crowd of application servers", crowdTimes},
		{"feed of one fleet", filteredFeed},
		{"import of a batch", importScale},
		{"import of a batch into PostgreSQL", importPostgres},
		{"replica of a million", replicaScale},
	} {
		if !strings.Contains(m.name, only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring: %s\n", m.name)
		more, err := onRig(filepath.Join(dir, strings.ReplaceAll(m.name, " ", "-")), m.run)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		rows = append(rows, more...)
	}
	text := report(rows)
	fmt.Print(text)
	if write != "" {
		return os.WriteFile(write, []byte(text), 0o644)
	}
	return nil
}

// onRig measures on a platform of its own.
func onRig(dir string, measure func(context.Context, *rig.Rig, string) ([]row, error)) (rows []row, err error) {
	r, err := rig.New(filepath.Join(dir, "platform"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Stop()) }()
	return measure(context.Background(), r, dir)
}

func report(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nMade by `make bench` on %s, %s/%s, %d cores, %s. Machines are noisy: trust the ratios.\nWhat a million SIMs cost is in [benchmarks-growth.md](benchmarks-growth.md). Servers are on the same machine: to handshakes and reconnects add the round trips of the network.\n\n",
		time.Now().UTC().Format("2006-01-02"), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	fmt.Fprintln(&b, "| What | Measured | Goal |\n| --- | --- | --- |")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.what, r.measured, r.goal)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		fmt.Fprint(&b, "\nWith")
		for i, m := range info.Deps {
			switch m.Path {
			case "modernc.org/sqlite", "github.com/jackc/pgx/v5", "go.step.sm/crypto", "github.com/zmap/zlint/v3", "github.com/danielgtaylor/huma/v2":
				fmt.Fprintf(&b, " %s %s,", m.Path, info.Deps[i].Version)
			}
		}
		text := strings.TrimSuffix(b.String(), ",")
		return text + ".\n"
	}
	return b.String()
}
