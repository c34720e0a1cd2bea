package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

// connection is how a command reaches a platform.
type connection struct {
	url, ca, tokenFile string
}

// addConnection gives a command, and all under it, the flags of a connection.
func addConnection(c *cobra.Command) *connection {
	n := &connection{}
	flags := c.PersistentFlags()
	flags.StringVar(&n.url, "platform", os.Getenv("SIMROOT_PLATFORM"), "URL of the platform (or SIMROOT_PLATFORM)")
	flags.StringVar(&n.ca, "ca", os.Getenv("SIMROOT_CA"), "file with the platform's trust anchor, PEM (or SIMROOT_CA); without it, the system's")
	return n
}

// addAdministration is [addConnection] for verbs that need a token.
func addAdministration(c *cobra.Command) *connection {
	n := addConnection(c)
	c.PersistentFlags().StringVar(&n.tokenFile, "token-file", "", "file with the token (or the token itself in SIMROOT_TOKEN)")
	key := c.PersistentFlags().String("idempotency-key", "", "name of this write: repeated under the same name within 24 hours it is answered again, and not done again")
	c.PreRun = func(c *cobra.Command, _ []string) {
		if *key != "" {
			c.SetContext(api.WithIdempotencyKey(c.Context(), *key))
		}
	}
	return n
}

// with runs fn with a client of the platform that the flags name.
func (n *connection) with(fn func(*api.Client) error) error {
	client, err := n.open()
	if err != nil {
		return err
	}
	defer client.Close()
	return fn(client)
}

// open returns a client, which the caller closes.
func (n *connection) open() (*api.Client, error) {
	if n.url == "" {
		return nil, wrongUsage("which platform? Give --platform URL or set SIMROOT_PLATFORM")
	}
	o := api.ClientOptions{Token: os.Getenv("SIMROOT_TOKEN")}
	if n.tokenFile != "" {
		token, err := os.ReadFile(n.tokenFile)
		if err != nil {
			return nil, err
		}
		o.Token = strings.TrimSpace(string(token))
	}
	if n.ca != "" {
		roots, err := api.LoadRoots(n.ca)
		if err != nil {
			return nil, err
		}
		o.RootCAs = roots
	}
	return api.NewClient(n.url, o)
}
