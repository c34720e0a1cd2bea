package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/mosquitto"
)

func newAppServer() *cobra.Command {
	c := &cobra.Command{Use: "appserver", Short: "Keep an application server that is not written in Go in step with the platform"}
	c.AddCommand(newAppServerServe(), newMosquittoConfig())
	return c
}

func newAppServerServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --platform URL --data DIR --mosquitto DIR --mosquitto-pid FILE",
		Short: "Follow the platform and keep a Mosquitto broker beside it current",
		Long: `Follows the platform's feed into a replica in --data. Beside a Mosquitto 2.0 broker
it writes CA, CRL and access rules where the broker reads them, makes it reload, and
ends the sessions of SIMs that are not accepted any more. Start it before the
broker, which wants to find the files; "simroot appserver mosquitto-config" writes the
broker's configuration. Needs a token with the role appserver.`,
		Args: cobra.NoArgs,
	}
	n := addAdministration(c)
	data := c.Flags().String("data", "", "folder for the replica")
	dir := c.Flags().String("mosquitto", "", "folder that the broker reads CA, CRL and access rules from")
	pid := c.Flags().String("mosquitto-pid", "", "the broker's PID file")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *data == "" || *dir == "" || *pid == "" {
			return wrongUsage("want --data DIR, --mosquitto DIR and --mosquitto-pid FILE")
		}
		return n.with(func(client *api.Client) (err error) {
			log := slog.New(slog.NewTextHandler(os.Stderr, nil))
			m, err := appserver.Open(c.Context(), appserver.Options{Platform: client, Dir: *data, Logger: log})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, m.Close()) }()
			adapter, err := mosquitto.New(mosquitto.Options{
				Middleware: m, Platform: client, Dir: *dir, PID: mosquitto.PIDFile(*pid), Logger: log,
			})
			if err != nil {
				return err
			}
			if err := adapter.Prepare(c.Context()); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "Following %s; the broker's files are in %s\n", n.url, *dir)
			if err := adapter.Run(c.Context()); c.Context().Err() == nil {
				return err
			}
			return nil // told to stop
		})
	}
	return c
}

func newMosquittoConfig() *cobra.Command {
	var o mosquitto.ConfigOptions
	c := &cobra.Command{
		Use:   "mosquitto-config --dir DIR --listen HOST:PORT --cert FILE --key FILE --pid FILE",
		Short: "Write a mosquitto.conf to standard output",
		Args:  cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&o.Dir, "dir", "", "the folder given to serve as --mosquitto, absolute")
	flags.StringVar(&o.Listen, "listen", "", "HOST:PORT for devices")
	flags.StringVar(&o.Certificate, "cert", "", "the broker's certificate chain, absolute")
	flags.StringVar(&o.Key, "key", "", "its key, absolute")
	flags.StringVar(&o.PIDFile, "pid", "", "where the broker writes its PID, absolute")
	flags.StringVar(&o.User, "user", "", "whom the broker becomes if root starts it (default mosquitto)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		text, err := mosquitto.Config(o)
		if err != nil {
			return usageError{err}
		}
		_, err = fmt.Fprint(c.OutOrStdout(), text)
		return err
	}
	return c
}
