package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/trace"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/device/tunnel"
	"github.com/simroot/simroot/psktls"
)

// tunnelFlags are what a tunnel is told.
type tunnelFlags struct {
	forwards []string
	identity string
	allInSIM bool
	public   bool
	mtu      int
	maxConns int
	look     time.Duration
	onboard  bool
	verbose  bool
	json     *bool
	sim      *cardFlags
	trust    *trustFlags
	platform *connection
}

func newDeviceTunnel() *cobra.Command {
	c := &cobra.Command{
		Use:   "tunnel --card URI --forward [tcp:|udp:]LOCAL=REMOTE…",
		Short: "Give programs that know nothing of SIMs TLS and DTLS with the SIM's credential",
		Long: `Listens on local ports. What connects to a TCP port is connected to the server by
TLS, what is sent to a UDP port goes there by DTLS 1.2, with the certificate or the
pre-shared key in the SIM. LOCAL is HOST:PORT, or PORT alone for 127.0.0.1, and port 0 is
any that is free; REMOTE is the server's HOST:PORT, and HOST is what its certificate must
be made out to.

When the ports are open a line "ready" on standard output names them. The tunnel runs
until it is told to stop, also while the SIM is away: what stands stays, new connections
are refused until the SIM is back, and standard error tells of both.

Whoever reaches a local port speaks as the SIM. Ports that other machines can reach are
refused unless --public is given.`,
		Example: `  simroot device tunnel --card pcsc: --forward tcp:127.0.0.1:1883=broker.example:8883
  simroot device tunnel --card 'modem:/dev/ttyUSB2' --forward 1883=broker.example:8883 --forward udp:5683=coap.example:5684
  mosquitto_pub -h 127.0.0.1 -p 1883 -t telemetry -m '23.4 kWh'`,
		Args: cobra.NoArgs,
	}
	f := tunnelFlags{sim: addCard(c), trust: addTrust(c), platform: addConnection(c), json: addJSON(c)}
	flags := c.Flags()
	flags.StringArrayVar(&f.forwards, "forward", nil, "a way through the tunnel, [tcp:|udp:]LOCAL=REMOTE; may be repeated")
	flags.StringVar(&f.identity, "identity", "", "identity of the SIM's pre-shared key, where the SIM does not name it")
	flags.BoolVar(&f.allInSIM, "all-in-sim", false, "have the SIM do the whole key exchange too: TLS 1.3 or nothing, eight times slower (docs/device.md)")
	flags.BoolVar(&f.public, "public", false, "allow ports that other machines can reach, and let those speak as the SIM")
	flags.IntVar(&f.mtu, "mtu", psktls.DefaultMTU, "longest datagram to a server in bytes, without the headers of UDP and IP")
	flags.IntVar(&f.maxConns, "max-connections", 64, "connections and DTLS sessions at the same time")
	flags.DurationVar(&f.look, "look", time.Minute, "how often to look whether the SIM is there; 0: only when it fails")
	flags.BoolVar(&f.onboard, "onboard", false, "keep the SIM's credential good too (with --platform), where only one program can have the SIM")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "tell of every connection")
	c.RunE = func(c *cobra.Command, _ []string) error { return f.run(c) }
	return c
}

func (f *tunnelFlags) run(c *cobra.Command) error {
	log := f.log(c.ErrOrStderr())
	keeper, err := f.keeper(c, log)
	if err != nil {
		return err
	}
	options, err := f.options(keeper, log)
	if err != nil {
		return err
	}
	var agent *device.Agent
	if f.onboard {
		client, err := f.platform.open()
		if err != nil {
			return err
		}
		defer client.Close()
		agent = device.NewAgent(device.AgentOptions{Open: keeper.Lend, Platform: client, Look: f.look, Claim: claimIn(lockFolder()), Log: log})
	}
	t, err := tunnel.Listen(options)
	if errors.Is(err, tunnel.ErrAllInSIM) {
		return usageError{err}
	}
	if errors.Is(err, tunnel.ErrPublic) {
		return wrongUsage("%w: listen on 127.0.0.1 or [::1], or add --public", err)
	}
	if err != nil {
		return err
	}
	if f.public {
		log.Warn("--public: other machines may reach these ports, and speak as the SIM")
	}
	if err := f.ready(c.OutOrStdout(), t.Forwards()); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(c.Context())
	var others sync.WaitGroup
	defer others.Wait()
	defer stop()
	others.Go(func() { keeper.Run(ctx) })
	if agent != nil {
		others.Go(func() {
			if err := agent.Run(ctx); err != nil && ctx.Err() == nil {
				log.Error("the SIM's credential is kept no longer", "error", err)
			}
		})
	}
	return t.Run(ctx)
}

// log is for people, or for scripts.
func (f *tunnelFlags) log(w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{}
	if f.verbose {
		o.Level = slog.LevelDebug
	}
	if *f.json {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// keeper opens the SIM again and again. Each time a trace has another file: the name that was
// given, and then that with .2, .3 and so on.
func (f *tunnelFlags) keeper(c *cobra.Command, log *slog.Logger) (*device.Keeper, error) {
	trust, err := f.trust.options()
	if err != nil {
		return nil, err
	}
	if servers := f.streams(); f.onboard && len(servers) > 0 {
		trust = append(trust, device.WithTrial(device.HandshakeWith(nil, servers...)))
	}
	opts, err := f.sim.options(trust...)
	if err != nil {
		return nil, err
	}
	if f.look < 0 {
		return nil, wrongUsage("--look %s: want a time, or 0 for never", f.look)
	}
	name, opened := c.Flag(traceFlag).Value.String(), 0
	return device.NewKeeper(func(ctx context.Context) (*device.Device, error) {
		sim, err := card.Open(ctx, f.sim.uri)
		if err != nil {
			return nil, err
		}
		if name != "" {
			file := name
			if opened++; opened > 1 {
				file = fmt.Sprintf("%s.%d", name, opened)
			}
			if sim, err = trace.RecordFile(sim, file); err != nil {
				return nil, err
			}
		}
		d, err := device.New(ctx, sim, opts...)
		if err != nil {
			return nil, errors.Join(err, sim.Close())
		}
		return d, nil
	}, f.look, log), nil
}

// streams are the servers that are reached by TLS: a new credential is to work with them
// before it takes the place of one that does.
func (f *tunnelFlags) streams() []string {
	var servers []string
	for _, s := range f.forwards {
		forward, err := tunnel.ParseForward(s)
		if err == nil && forward.Network == tunnel.TCP && !slices.Contains(servers, forward.Remote) { // options tells of errors
			servers = append(servers, forward.Remote)
		}
	}
	return servers
}

// options are the flags as the tunnel takes them.
func (f *tunnelFlags) options(sim tunnel.SIM, log *slog.Logger) (tunnel.Options, error) {
	o := tunnel.Options{SIM: sim, Public: f.public, AllInSIM: f.allInSIM, MaxConns: f.maxConns, MTU: f.mtu, Log: log}
	if len(f.forwards) == 0 {
		return o, wrongUsage("forward what? Give --forward LOCAL=REMOTE, for example --forward 1883=broker.example:8883")
	}
	for _, s := range f.forwards {
		forward, err := tunnel.ParseForward(s)
		if err != nil {
			return o, usageError{err}
		}
		o.Forwards = append(o.Forwards, forward)
	}
	switch {
	case f.maxConns < 1:
		return o, wrongUsage("--max-connections %d: want at least 1", f.maxConns)
	case f.mtu < psktls.MinMTU:
		return o, wrongUsage("--mtu %d: want at least %d", f.mtu, psktls.MinMTU)
	}
	if f.identity != "" {
		o.Identity = func() string { return f.identity }
	}
	return o, nil
}

// ready tells that the ports are open, and which they are: those who started the tunnel, and
// systemd, if it is that.
func (f *tunnelFlags) ready(w io.Writer, forwards []tunnel.Forward) error {
	var err error
	if *f.json {
		err = json.NewEncoder(w).Encode(struct {
			Ready []tunnel.Forward `json:"ready"`
		}{forwards})
	} else {
		var words []string
		for _, forward := range forwards {
			words = append(words, forward.String())
		}
		_, err = fmt.Fprintln(w, "ready", strings.Join(words, " "))
	}
	if err != nil {
		return err
	}
	return notify("READY=1")
}
