package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/natscallout"
)

// besideNATS answers a NATS server's auth callout.
type besideNATS struct {
	url, dir, ca string
	options      natscallout.Options
}

func addNATS(c *cobra.Command) adapter {
	a := &besideNATS{}
	usual := natscallout.DefaultPermissions()
	flags := c.Flags()
	flags.StringVar(&a.url, "nats", "", "URL of the NATS server, tls://HOST:PORT; several with commas between")
	flags.StringVar(&a.dir, "nats-dir", "", "folder with the keys from \"simroot appserver nats-config\"; the server reads CA certificates there")
	flags.StringVar(&a.ca, "nats-ca", "", "file with the issuer of the server's own certificate, PEM; without it, the platform's")
	flags.BoolVar(&a.options.TLSFirst, "nats-tls-first", false, "begin with TLS, for servers that want it (nats-config --tls-first)")
	flags.StringVar(&a.options.Account, "nats-account", natscallout.DefaultAccount, "account of NATS that SIMs are put into")
	flags.StringArrayVar(&a.options.Permissions.Publish, "nats-publish", usual.Publish, "subject that a SIM may publish to, with {iccid} and {fleet}; may be repeated")
	flags.StringArrayVar(&a.options.Permissions.Subscribe, "nats-subscribe", usual.Subscribe, "subject that a SIM may subscribe to, with {iccid} and {fleet}; may be repeated")
	return a
}

func (a *besideNATS) wanted() (bool, error) {
	if (a.url == "") != (a.dir == "") {
		return false, wrongUsage("--nats URL and --nats-dir DIR belong together")
	}
	if err := a.options.Permissions.Check(); err != nil {
		return false, wrongUsage("--nats-publish, --nats-subscribe: %w", err)
	}
	return a.url != "", nil
}

func (a *besideNATS) prepare(ctx context.Context, b *beside) (string, func(context.Context) error, error) {
	o := a.options
	o.Middleware, o.Platform, o.URL, o.Dir, o.Logger = b.middleware, b.platform, a.url, a.dir, b.log
	if a.ca != "" {
		roots, err := api.LoadRoots(a.ca)
		if err != nil {
			return "", nil, err
		}
		o.RootCAs = roots
	}
	callout, err := natscallout.New(o)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("answering NATS at %s, whose files are in %s", a.url, a.dir), callout.Run, callout.Prepare(ctx)
}

func newNATSConfig() *cobra.Command {
	var o natscallout.ConfigOptions
	c := &cobra.Command{
		Use:   "nats-config --dir DIR --listen HOST:PORT --cert FILE --key FILE",
		Short: "Make the keys for a NATS server's auth callout, and write its configuration to standard output",
		Long: `Makes the keys for the auth callout in DIR/keys, if they are not there yet, and writes the
configuration of a nats-server that asks "simroot appserver serve --nats" about every
client. Start serve first: it writes DIR/ca.pem, which the server wants to find.

The application connects with the key DIR/keys/app.nk and, for TLS, the certificate
DIR/keys/local-tls.crt and its key, and may use every subject of the account.`,
		Example: `  simroot appserver nats-config --dir /var/lib/simroot/nats --listen 0.0.0.0:4222 --cert /etc/nats/server.crt --key /etc/nats/server.key >nats.conf`,
		Args:    cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&o.Dir, "dir", "", "the folder given to serve as --nats-dir, absolute")
	flags.StringVar(&o.Listen, "listen", "", "HOST:PORT for clients")
	flags.StringVar(&o.Certificate, "cert", "", "the server's certificate chain, absolute")
	flags.StringVar(&o.Key, "key", "", "its key, absolute")
	flags.StringVar(&o.Account, "account", natscallout.DefaultAccount, "account of NATS that SIMs and the application are in")
	flags.BoolVar(&o.TLSFirst, "tls-first", false, "have every client begin with TLS, as \"simroot device tunnel\" does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if err := o.Check(); err != nil {
			return usageError{err}
		}
		text, err := natscallout.Config(o)
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(c.OutOrStdout(), text)
		return err
	}
	return c
}
