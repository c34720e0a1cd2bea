package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/appserver/nginx"
)

// besideNginx keeps nginx in step.
type besideNginx struct{ dir, reload string }

func addNginx(c *cobra.Command) adapter {
	a := &besideNginx{}
	c.Flags().StringVar(&a.dir, "nginx", "", "folder that nginx reads CA certificates and CRLs from")
	c.Flags().StringVar(&a.reload, "nginx-reload", "nginx -s reload", "command that has nginx read its files, words with spaces between")
	return a
}

func (a *besideNginx) wanted() (bool, error) { return a.dir != "", nil }

func (a *besideNginx) prepare(ctx context.Context, b *beside) (string, func(context.Context) error, error) {
	keeper, err := nginx.New(nginx.Options{
		Middleware: b.middleware, Platform: b.platform, Dir: a.dir, Reload: strings.Fields(a.reload), Logger: b.log,
	})
	if err != nil {
		return "", nil, err
	}
	return "nginx's files are in " + a.dir, keeper.Run, keeper.Prepare(ctx)
}

func newNginxConfig() *cobra.Command {
	var o nginx.ConfigOptions
	c := &cobra.Command{
		Use:   "nginx-config --dir DIR --listen HOST:PORT --cert FILE --key FILE --authz ADDRESS --backend HOST:PORT",
		Short: "Write a server for nginx's http block to standard output",
		Args:  cobra.NoArgs,
	}
	flags := c.Flags()
	flags.StringVar(&o.Dir, "dir", "", "the folder given to serve as --nginx, absolute")
	flags.StringVar(&o.Listen, "listen", "", "HOST:PORT for devices")
	flags.StringVar(&o.Certificate, "cert", "", "nginx's certificate chain, absolute")
	flags.StringVar(&o.Key, "key", "", "its key, absolute")
	flags.StringVar(&o.Authz, "authz", "", "the address given to serve as --authz")
	flags.StringVar(&o.Backend, "backend", "", "HOST:PORT of the application")
	c.RunE = func(c *cobra.Command, _ []string) error {
		text, err := nginx.Config(o)
		if err != nil {
			return usageError{err}
		}
		_, err = fmt.Fprint(c.OutOrStdout(), text)
		return err
	}
	return c
}
