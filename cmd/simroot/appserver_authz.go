package main

import (
	"context"
	"crypto/tls"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/appserver/authz"
	"github.com/simroot/simroot/internal/platform/keyfile"
)

// answering answers other servers over HTTP.
type answering struct {
	address, cert, key, token, clientCA string
	rate                                int
}

func addAuthz(c *cobra.Command) adapter {
	a := &answering{}
	flags := c.Flags()
	flags.StringVar(&a.address, "authz", "", "HOST:PORT or unix:PATH where other servers ask who may come in (docs/servers/http-authorisation.md)")
	flags.StringVar(&a.cert, "authz-cert", "", "certificate chain of that endpoint, PEM; without it, plain HTTP on loopback only")
	flags.StringVar(&a.key, "authz-key", "", "its key")
	flags.StringVar(&a.token, "authz-token", "", "file with the bearer token that who asks must send")
	flags.StringVar(&a.clientCA, "authz-client-ca", "", "file with the issuer of the certificate that who asks must have, PEM")
	flags.IntVar(&a.rate, "authz-rate", 0, "questions a second that are answered (default 10000)")
	return a
}

func (a *answering) wanted() (bool, error) {
	switch {
	case (a.cert == "") != (a.key == ""):
		return false, wrongUsage("--authz-cert FILE and --authz-key FILE belong together")
	case a.address == "" && (a.cert != "" || a.token != "" || a.clientCA != ""):
		return false, wrongUsage("--authz-cert, --authz-token and --authz-client-ca go with --authz ADDRESS")
	case a.rate < 0:
		return false, wrongUsage("--authz-rate cannot be negative")
	}
	return a.address != "", nil
}

func (a *answering) prepare(ctx context.Context, b *beside) (string, func(context.Context) error, error) {
	o := authz.Options{Middleware: b.middleware, Rate: a.rate, Logger: b.log}
	listen := authz.ListenOptions{Address: a.address}
	if a.token != "" {
		text, err := keyfile.Read(a.token)
		if err != nil {
			return "", nil, err
		}
		if o.Token = strings.TrimSpace(string(text)); o.Token == "" {
			return "", nil, wrongUsage("%s holds no token", a.token)
		}
		listen.Token = true
	}
	if a.cert != "" {
		pair, err := tls.LoadX509KeyPair(a.cert, a.key)
		if err != nil {
			return "", nil, err
		}
		listen.Certificate = &pair
	}
	if a.clientCA != "" {
		roots, err := api.LoadRoots(a.clientCA)
		if err != nil {
			return "", nil, err
		}
		listen.ClientCAs = roots
	}
	handler, err := authz.New(o)
	if err != nil {
		return "", nil, err
	}
	if err := b.middleware.Ready(ctx); err != nil {
		return "", nil, err
	}
	ln, err := authz.Listen(listen)
	if err != nil {
		return "", nil, err
	}
	at := a.address
	if !strings.HasPrefix(at, "unix:") {
		at = ln.Addr().String()
	}
	return "answering at " + at, func(ctx context.Context) error { return handler.Serve(ctx, ln) }, nil
}
