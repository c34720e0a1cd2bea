package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
)

func newAppServer() *cobra.Command {
	c := &cobra.Command{Use: "appserver", Short: "Keep an application server that is not written in Go in step with the platform"}
	c.AddCommand(newAppServerServe(), newAppServerRegister(), newSealingKey(), newMosquittoConfig(), newNginxConfig(), newHAProxyConfig(), newNATSConfig())
	return c
}

// adapter is what "appserver serve" does for one kind of server. It has flags of its own.
type adapter interface {
	// wanted tells whether the flags ask for it, and what is wrong with them.
	wanted() (bool, error)
	// prepare does what must be done before the server beside may start. Ready is what is then
	// told, and run does the rest, until ctx ends.
	prepare(ctx context.Context, beside *beside) (ready string, run func(ctx context.Context) error, err error)
}

// beside is what adapters share.
type beside struct {
	platform   *api.Client
	middleware *appserver.Middleware
	sealed     bool // there is a key to open pre-shared keys with
	log        *slog.Logger
}

func newAppServerServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --platform URL --data DIR",
		Short: "Follow the platform and keep servers beside this one current",
		Long: `Follows the platform's feed into a replica in --data, for one or more of these:

Beside a Mosquitto 2.0 broker (--mosquitto, --mosquitto-pid) it writes CA, CRL, access
rules and with --mosquitto-psk pre-shared keys where the broker reads them, makes it reload, and ends the sessions of SIMs that
are not accepted any more. Start it before the broker, which wants to find the files;
"simroot appserver mosquitto-config" writes the broker's configuration.

Beside nginx (--nginx) and HAProxy 2.6 (--haproxy) it keeps CA certificates and CRLs current,
and HAProxy's list of accepted certificates, whose connections it ends too. Start it before
them; "simroot appserver nginx-config" and "haproxy-config" write their configuration.

For servers that can ask (--authz: nginx, Traefik, Caddy, EMQX, VerneMQ) it answers over HTTP
who may come in. Off loopback that wants TLS, and a token or client certificates.

In front of a server that knows nothing of SIMs (--terminate) it ends TLS and DTLS, and
forwards in plain. KIND is tls, tls-psk, dtls or dtls-psk. TELL is how that server learns
who speaks: proxy, the PROXY protocol version 2, with the SIM's ICCID in value 0xE0; http,
the header Simroot-ICCID in every request; without it, it does not. The server must be
out of reach for others.

Beside NATS servers (--nats, --nats-dir) it answers their auth callout, keeps their CA
certificates current, and closes the connections of SIMs that are not accepted any more.
Start it before them; "simroot appserver nats-config" makes the keys and writes the
server's configuration.

It runs until it is told to stop. To the platform it speaks as the application server that
"simroot appserver register" has made known from the same --data, or that it registers
itself at the first start with --invitation; or else with a token of the role appserver
and --sealing-key.`,
		Example: `  simroot appserver serve --platform https://platform.example --invitation invitation --data /var/lib/simroot \
    --terminate dtls-psk:0.0.0.0:5684=127.0.0.1:5683
  simroot appserver serve --platform https://platform.example --token-file token --data /var/lib/simroot \
    --cert server.crt --key server.key --terminate tls+proxy:0.0.0.0:8883=127.0.0.1:1883 --terminate tls+http:0.0.0.0:443=127.0.0.1:8080`,
		Args: cobra.NoArgs,
	}
	n := addAdministration(c)
	o := &replicaOptions{}
	o.addFlags(c)
	adapters := []adapter{addMosquitto(c), addNginx(c), addHAProxy(c), addAuthz(c), addTerminator(c), addNATS(c)}
	c.RunE = func(c *cobra.Command, _ []string) error {
		var chosen []adapter
		for _, a := range adapters {
			wanted, err := a.wanted()
			if err != nil {
				return err
			}
			if wanted {
				chosen = append(chosen, a)
			}
		}
		if o.data == "" || len(chosen) == 0 {
			return wrongUsage("want --data DIR and what to serve: --mosquitto DIR with --mosquitto-pid FILE, --nginx DIR, --haproxy DIR, --authz ADDRESS, --terminate KIND:LISTEN=BACKEND, or --nats URL with --nats-dir DIR")
		}
		return serveBeside(c, n, o, chosen)
	}
	return c
}

// replicaOptions are the flags of the replica.
type replicaOptions struct {
	data, sealingKey   string
	invitation         string
	maxStale, cutStale time.Duration
}

func (o *replicaOptions) addFlags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&o.data, "data", "", "folder for the replica")
	flags.StringVar(&o.sealingKey, "sealing-key", "", `file with the key that PSKs are sealed to (see "simroot appserver sealing-key")`)
	flags.StringVar(&o.invitation, "invitation", "", "file with the one-time token to register with at the first start")
	flags.DurationVar(&o.maxStale, "max-stale", 0, "let nobody new in when the platform was out of reach for so long (default: serve on)")
	flags.DurationVar(&o.cutStale, "cut-stale", 0, "and end connections after so long (default: never)")
}

// open opens the replica. Key is the sealing key of a registration, nil if there is none.
func (o *replicaOptions) open(ctx context.Context, client *api.Client, key []byte, log *slog.Logger) (*appserver.Middleware, error) {
	defer func() { clear(key) }()
	options := appserver.Options{Platform: client, Dir: o.data, MaxStale: o.maxStale, CutStale: o.cutStale, Logger: log}
	if o.sealingKey != "" {
		var err error
		if key, err = readSealingKey(o.sealingKey); err != nil {
			return nil, err
		}
	}
	options.SealingKey = key
	return appserver.Open(ctx, options)
}

// serveBeside runs adapters over one replica until it is told to stop, or one of them fails.
func serveBeside(c *cobra.Command, n *connection, o *replicaOptions, adapters []adapter) (err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	client, registered, err := n.identify(c, o.data, o.invitation, log)
	if err != nil {
		return err
	}
	defer client.Close()
	var key []byte
	if registered != nil {
		defer registered.Close()
		key = registered.SealingKey()
	}
	m, err := o.open(c.Context(), client, key, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	b := &beside{platform: client, middleware: m, sealed: o.sealingKey != "" || registered != nil, log: log}
	var told []string
	var runs []func(context.Context) error
	for _, a := range adapters {
		ready, run, err := a.prepare(c.Context(), b)
		if err != nil {
			return err
		}
		told, runs = append(told, ready), append(runs, run)
	}
	if _, err := fmt.Fprintf(c.OutOrStdout(), "Following %s; %s\n", n.url, strings.Join(told, "; ")); err != nil {
		return err
	}
	if err := notify("READY=1"); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(c.Context())
	if registered != nil {
		group.Go(func() error { registered.Keep(ctx); return nil })
	}
	for _, run := range runs {
		group.Go(func() error { return run(ctx) })
	}
	if err := group.Wait(); c.Context().Err() == nil {
		return err
	}
	return nil // told to stop
}
