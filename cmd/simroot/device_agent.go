package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/lock"
	"github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/vsim/image"
)

// watchFlags are what an agent is told.
type watchFlags struct {
	on          bool
	status      string
	metrics     string
	metricsFile string
	look        time.Duration
	locks       string
}

func addWatch(c *cobra.Command) *watchFlags {
	var w watchFlags
	flags := c.Flags()
	flags.BoolVar(&w.on, "watch", false, "stay, and keep the SIM's credential good")
	flags.StringVar(&w.status, "status", "", "keep the agent's status in this file, as JSON")
	flags.StringVar(&w.metrics, "metrics", "", "serve metrics for Prometheus at this address, [HOST]:PORT; without a host, to this machine only")
	flags.StringVar(&w.metricsFile, "metrics-file", "", "keep the metrics in this file, for a node exporter's textfile collector")
	flags.DurationVar(&w.look, "look", 5*time.Minute, "how often to look whether the SIM is there, or another in its place; 0: only when a renewal is due")
	flags.StringVar(&w.locks, "lock", lockFolder(), "folder for the lock that keeps a second agent from the SIM")
	return &w
}

// lockFolder is where this system keeps locks.
func lockFolder() string {
	for _, folder := range []string{"/run/lock", "/var/lock"} {
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			return folder
		}
	}
	return os.TempDir()
}

// check refuses flags that make no sense together.
func (w *watchFlags) check(c *cobra.Command) error {
	if !w.on {
		for _, name := range []string{"status", "metrics", "metrics-file", "look", "lock"} {
			if c.Flags().Changed(name) {
				return wrongUsage("--%s is for an agent: add --watch", name)
			}
		}
		return nil
	}
	if w.look < 0 {
		return wrongUsage("--look %s: want a time, or 0 for never", w.look)
	}
	if file := c.Flag(traceFlag); file != nil && file.Value.String() != "" {
		return wrongUsage("--trace records one session: leave --watch out")
	}
	if w.metrics != "" {
		if _, _, err := net.SplitHostPort(w.metrics); err != nil {
			return wrongUsage("--metrics %q: want [HOST]:PORT", w.metrics)
		}
	}
	return nil
}

// run is the agent's life.
func (w *watchFlags) run(c *cobra.Command, sim *cardFlags, client *api.Client, opts []device.Option) (err error) {
	opts, err = sim.options(opts...)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil))
	report, release, err := w.reports()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	agent := device.NewAgent(device.AgentOptions{
		Open: func(ctx context.Context) (device.AgentSIM, error) {
			d, err := device.Open(ctx, sim.uri, opts...)
			if err != nil {
				return nil, err // not a nil *Device in an interface
			}
			return d, nil
		},
		Platform: client, Look: w.look, InUse: inUse, Report: report, Log: log,
		Claim: claimIn(w.locks),
	})
	if w.metrics != "" {
		stop, served := serveMetrics(w.metrics, agent, log)
		if served != nil {
			return served
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	if err := notify("READY=1"); err != nil {
		return err
	}
	return agent.Run(c.Context())
}

// claimIn has an agent take a SIM for itself by a lock in a folder.
func claimIn(folder string) func(card.ICCID) (io.Closer, error) {
	return func(iccid card.ICCID) (io.Closer, error) {
		return lock.Take(filepath.Join(folder, "LCK..simroot-"+string(iccid)))
	}
}

// reports are where the agent's status goes. A status file belongs to one agent.
func (w *watchFlags) reports() (report func(device.AgentStatus) error, release func() error, err error) {
	var all []func(device.AgentStatus) error
	release = func() error { return nil }
	if w.status != "" {
		held, err := lock.Take(w.status + ".lock")
		if err != nil {
			return nil, nil, fmt.Errorf("status file %s: %w", w.status, err)
		}
		release = held.Close
		all = append(all, device.StatusFile(w.status))
	}
	if w.metricsFile != "" {
		all = append(all, device.MetricsFile(w.metricsFile))
	}
	return func(s device.AgentStatus) error {
		var failed error
		for _, to := range all {
			failed = errors.Join(failed, to(s))
		}
		return failed
	}, release, nil
}

// inUse tells that another program has the SIM open, which is no fault of the SIM's.
func inUse(err error) bool { return errors.Is(err, modem.ErrInUse) || errors.Is(err, image.ErrInUse) }

// serveMetrics serves an agent's metrics until stop is called.
func serveMetrics(address string, agent *device.Agent, log *slog.Logger) (stop func() error, err error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", agent)
	server := &http.Server{
		Handler: routes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 8 << 10,
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	log.Info("metrics are served", "url", "http://"+l.Addr().String()+"/metrics")
	return func() error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}

// showAgent prints an agent's status file.
func showAgent(w io.Writer, name string, asJSON bool) error {
	s, err := device.ReadStatusFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: is there an agent that writes it? (simroot device onboard --watch --status FILE)", err)
	}
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, s)
	}
	fmt.Fprintf(w, "agent       %s since %s\nSIM         %s\n", s.State, day(s.Since), orDash(s.ICCID))
	if c := s.Credential; c != nil {
		fmt.Fprintf(w, "credential  %s (%s, fleet %s)\nvalid       %s to %s, comes again %s\n", c.ID, c.Type, c.Fleet, day(c.NotBefore), day(c.NotAfter), day(s.RenewAt))
		if c.Identity != "" {
			fmt.Fprintf(w, "identity    %s\n", c.Identity)
		}
	}
	if !s.NextAttempt.IsZero() {
		fmt.Fprintf(w, "next        %s\n", day(s.NextAttempt))
	}
	if s.Problem != "" {
		fmt.Fprintf(w, "problem     %s\n", s.Problem)
	}
	_, err = fmt.Fprintf(w, "since start %d onboardings, %d failed, %d new credentials, SIM lost %d times\n", s.Totals.Attempts, s.Totals.Failed, s.Totals.Credentials, s.Totals.SIMLost)
	return err
}
