package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/appserver/haproxy"
)

// besideHAProxy keeps HAProxy in step.
type besideHAProxy struct{ dir, master string }

func addHAProxy(c *cobra.Command) adapter {
	a := &besideHAProxy{}
	c.Flags().StringVar(&a.dir, "haproxy", "", "folder that HAProxy reads accepted certificates, CA certificates and CRLs from")
	c.Flags().StringVar(&a.master, "haproxy-master", "/run/haproxy-master.sock", "the master's socket: haproxy -W -S SOCKET")
	return a
}

func (a *besideHAProxy) wanted() (bool, error) { return a.dir != "", nil }

func (a *besideHAProxy) prepare(ctx context.Context, b *beside) (string, func(context.Context) error, error) {
	keeper, err := haproxy.New(haproxy.Options{Middleware: b.middleware, Platform: b.platform, Dir: a.dir, Master: a.master, Logger: b.log})
	if err != nil {
		return "", nil, err
	}
	return "HAProxy's files are in " + a.dir, keeper.Run, keeper.Prepare(ctx)
}

func newHAProxyConfig() *cobra.Command {
	var o haproxy.ConfigOptions
	c := &cobra.Command{
		Use:   "haproxy-config --dir DIR --listen HOST:PORT --cert FILE --backend HOST:PORT [--tcp]",
		Short: "Write the sections of haproxy.cfg for devices to standard output",
		Args:  cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&o.Dir, "dir", "", "the folder given to serve as --haproxy, absolute")
	flags.StringVar(&o.Listen, "listen", "", "HOST:PORT for devices")
	flags.StringVar(&o.Certificate, "cert", "", "HAProxy's certificate chain, absolute; the key is in it, or in the file of that name and .key")
	flags.StringVar(&o.Backend, "backend", "", "HOST:PORT of the application")
	flags.BoolVar(&o.TCP, "tcp", false, "forward bytes with the PROXY protocol, not HTTP requests with a header")
	c.RunE = func(c *cobra.Command, _ []string) error {
		text, err := haproxy.Config(o)
		if err != nil {
			return usageError{err}
		}
		_, err = fmt.Fprint(c.OutOrStdout(), text)
		return err
	}
	return c
}
