package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/registration"
)

// registrationDir is where an application server keeps its keys, in its data.
func registrationDir(data string) string { return filepath.Join(data, "registration") }

func newAppServerRegister() *cobra.Command {
	c := &cobra.Command{
		Use:   "register --platform URL --data DIR --invitation FILE",
		Short: "Make this application server known to the platform, with a one-time token",
		Long: `Makes the application server's keys in DIR/registration, where they stay, and trades the
one-time token from "simroot platform appservers add" for a certificate. From then on "serve"
on the same DIR needs no token and no sealing key, and renews the certificate by itself.
If it fails it can be repeated.`,
		Example: `  simroot platform appservers add broker --fleet meters >invitation
  simroot appserver register --data /var/lib/simroot --invitation invitation`,
		Args: cobra.NoArgs,
	}
	n, asJSON := addConnection(c), addJSON(c)
	data := c.Flags().String("data", "", "folder for keys and replica")
	invitation := c.Flags().String("invitation", "", "file with the one-time token; - reads it from standard input")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *data == "" || *invitation == "" {
			return wrongUsage("want --data DIR and --invitation FILE")
		}
		r, err := register(c, n, *data, *invitation, slog.Default())
		if err != nil {
			return err
		}
		defer r.Close()
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]any{"folder": registrationDir(*data), "certificate_ends": r.Ends()})
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Registered; keys and certificate are in %s; the certificate ends %s and renews itself while \"appserver serve\" runs\n",
			registrationDir(*data), day(r.Ends()))
		return err
	}
	return c
}

// registrationOptions are those of the platform that the flags name.
func registrationOptions(n *connection, data string, log *slog.Logger) (registration.Options, error) {
	o := registration.Options{Platform: n.url, Dir: registrationDir(data), Logger: log}
	if n.url == "" {
		return o, wrongUsage("which platform? Give --platform URL or set SIMROOT_PLATFORM")
	}
	var err error
	if n.ca != "" {
		o.RootCAs, err = api.LoadRoots(n.ca)
	}
	return o, err
}

// register registers with the one-time token in a file.
func register(c *cobra.Command, n *connection, data, invitation string, log *slog.Logger) (*registration.Registration, error) {
	o, err := registrationOptions(n, data, log)
	if err != nil {
		return nil, err
	}
	text, err := openText(c.InOrStdin(), invitation)
	if err != nil {
		return nil, err
	}
	defer text.Close()
	token, err := io.ReadAll(io.LimitReader(text, 1<<10))
	if err != nil {
		return nil, err
	}
	defer clear(token)
	return registration.Register(c.Context(), o, strings.TrimSpace(string(token)))
}

// identify finds out how an application server speaks to the platform: with a token if there is one,
// and else as who it has registered. R is nil with a token.
func (n *connection) identify(c *cobra.Command, data, invitation string, log *slog.Logger) (client *api.Client, r *registration.Registration, err error) {
	switch {
	case n.tokenFile != "" || os.Getenv("SIMROOT_TOKEN") != "":
		client, err = n.open()
		return client, nil, err
	case invitation != "" && !registration.Is(registrationDir(data)):
		r, err = register(c, n, data, invitation, log)
	default:
		var o registration.Options
		if o, err = registrationOptions(n, data, log); err == nil {
			r, err = registration.Open(o)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	return r.Client(), r, nil
}
