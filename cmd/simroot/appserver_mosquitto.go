package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/appserver"
	"github.com/simroot/simroot/appserver/mosquitto"
)

// besideMosquitto keeps a broker in step.
type besideMosquitto struct {
	dir, pid string
	psk      bool
}

func addMosquitto(c *cobra.Command) adapter {
	a := &besideMosquitto{}
	c.Flags().StringVar(&a.dir, "mosquitto", "", "folder that the broker reads CA, CRL and access rules from")
	c.Flags().StringVar(&a.pid, "mosquitto-pid", "", "the broker's PID file")
	c.Flags().BoolVar(&a.psk, "mosquitto-psk", false, "keep the broker's psk_file too; wants a registration or --sealing-key")
	return a
}

func (a *besideMosquitto) wanted() (bool, error) {
	if (a.dir == "") != (a.pid == "") {
		return false, wrongUsage("--mosquitto DIR and --mosquitto-pid FILE belong together")
	}
	if a.psk && a.dir == "" {
		return false, wrongUsage("--mosquitto-psk goes with --mosquitto DIR")
	}
	return a.dir != "", nil
}

func (a *besideMosquitto) prepare(ctx context.Context, b *beside) (string, func(context.Context) error, error) {
	broker, err := mosquitto.New(mosquitto.Options{
		Middleware: b.middleware, Platform: b.platform, Dir: a.dir, PSK: a.psk, PID: mosquitto.PIDFile(a.pid), Logger: b.log,
	})
	if errors.Is(err, appserver.ErrNoSealingKey) {
		err = wrongUsage("--mosquitto-psk wants a registration (see \"simroot appserver register\") or --sealing-key FILE")
	}
	if err != nil {
		return "", nil, err
	}
	return "the broker's files are in " + a.dir, broker.Run, broker.Prepare(ctx)
}

func newMosquittoConfig() *cobra.Command {
	var o mosquitto.ConfigOptions
	c := &cobra.Command{
		Use:   "mosquitto-config --dir DIR --pid FILE [--listen HOST:PORT --cert FILE --key FILE] [--psk-listen HOST:PORT]",
		Short: "Write a mosquitto.conf to standard output",
		Args:  cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&o.Dir, "dir", "", "the folder given to serve as --mosquitto, absolute")
	flags.StringVar(&o.Listen, "listen", "", "HOST:PORT for devices with certificates")
	flags.StringVar(&o.PSKListen, "psk-listen", "", "HOST:PORT for devices with pre-shared keys")
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
