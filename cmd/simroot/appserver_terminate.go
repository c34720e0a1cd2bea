package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/appserver/terminator"
	"github.com/simroot/simroot/psktls"
)

// besideAny ends TLS and DTLS for servers that know nothing of SIMs.
type besideAny struct {
	ways      []string
	cert, key string
	parsed    []terminator.Way
	options   terminator.Options
}

func addTerminator(c *cobra.Command) adapter {
	a := &besideAny{}
	flags := c.Flags()
	flags.StringArrayVar(&a.ways, "terminate", nil, "KIND[+TELL]:LISTEN=BACKEND, a port for SIMs and the server behind it; may be repeated")
	flags.StringVar(&a.cert, "cert", "", "the server's own certificate chain, PEM, for --terminate tls and dtls; read again when it is renewed")
	flags.StringVar(&a.key, "key", "", "its key, PEM")
	flags.BoolVar(&a.options.ForwardSecrecy, "forward-secrecy", false, "refuse pre-shared keys without an ephemeral key exchange, which is all that some small devices have")
	flags.IntVar(&a.options.MTU, "mtu", psktls.DefaultMTU, "longest datagram to a device in bytes, without the headers of UDP and IP")
	flags.IntVar(&a.options.Connections, "max-connections", 16384, "connections and DTLS sessions at the same time")
	flags.IntVar(&a.options.PerAddress, "max-per-address", 0, "how many of them one IP address may have; 0: all (mobile networks have many devices behind one)")
	flags.IntVar(&a.options.PerSIM, "max-per-sim", 64, "how many of them one SIM may have")
	flags.DurationVar(&a.options.Idle, "idle", 0, "end a DTLS session in which nothing was sent for so long (default 1h)")
	flags.DurationVar(&a.options.Drain, "drain", 0, "how long connections may take to end by themselves when told to stop (default 10s)")
	return a
}

func (a *besideAny) wanted() (bool, error) {
	if len(a.ways) == 0 {
		return false, nil
	}
	for _, text := range a.ways {
		way, err := terminator.ParseWay(text)
		if err != nil {
			return false, wrongUsage("--terminate %w", err)
		}
		if way.Kind.Certificates() && (a.cert == "" || a.key == "") {
			return false, wrongUsage("--terminate %s: want the server's own certificate too: --cert FILE and --key FILE", way)
		}
		a.parsed = append(a.parsed, way)
	}
	switch o := a.options; {
	case o.MTU < psktls.MinMTU:
		return false, wrongUsage("--mtu %d: want at least %d", o.MTU, psktls.MinMTU)
	case o.Connections < 1 || o.PerSIM < 1 || o.PerAddress < 0:
		return false, wrongUsage("--max-connections, --max-per-sim: want at least 1; --max-per-address: at least 0")
	case o.Idle < 0 || o.Drain < 0:
		return false, wrongUsage("--idle, --drain: want a time")
	}
	return true, nil
}

// sealed tells whether there is a way for pre-shared keys.
func (a *besideAny) sealed() bool {
	for _, way := range a.parsed {
		if !way.Kind.Certificates() {
			return true
		}
	}
	return false
}

func (a *besideAny) prepare(ctx context.Context, b *beside) (string, func(context.Context) error, error) {
	if a.sealed() && !b.sealed {
		return "", nil, wrongUsage("--terminate tls-psk and dtls-psk want a registration (see \"simroot appserver register\") or --sealing-key FILE")
	}
	o := a.options
	o.Middleware, o.Ways, o.Logger = b.middleware, a.parsed, b.log
	if a.cert != "" {
		own, err := terminator.LoadCertificate(a.cert, a.key, b.log)
		if err != nil {
			return "", nil, err
		}
		o.Certificate = own.Get
	}
	// Before the replica is in step, devices that are good would be refused.
	if err := b.middleware.Ready(ctx); err != nil {
		return "", nil, err
	}
	if a.sealed() {
		if err := b.middleware.SecretsReady(ctx); err != nil {
			return "", nil, err
		}
	}
	t, err := terminator.Listen(o)
	if err != nil {
		return "", nil, err
	}
	var ways []string
	for _, way := range t.Ways() {
		ways = append(ways, way.String())
	}
	return fmt.Sprintf("ready %s", strings.Join(ways, " ")), t.Run, nil
}
