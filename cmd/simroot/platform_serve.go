package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/simroot/simroot/internal/platform"
)

func newPlatformServe() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve --data DIR [--listen ADDR]",
		Short: "Run the security services platform",
		Long: `Runs the platform on the data in DIR. A DIR that is new is initialised first: the
CA, the keys and the database are made, and the first admin token is printed, this
once. Clients need the trust anchor, DIR/ca.pem.

With --store the rows are in a PostgreSQL database (15 or later), and several nodes may
serve them: initialise one, give each a copy of DIR, and start them all with --store and
--node.`,
		Example: `  simroot platform serve --data /var/lib/simroot
  simroot platform serve --data /var/lib/simroot --store file:/etc/simroot/store --node 10.0.0.1:8444`,
		Args: cobra.NoArgs,
	}
	data := c.Flags().String("data", "", "folder for keys and, without --store, the database")
	rows := addStore(c)
	node := c.Flags().String("node", "", "HOST:PORT at which other nodes on the same PostgreSQL database reach this one; port 0 picks a free one")
	listen := c.Flags().String("listen", "127.0.0.1:8443", "address to listen on; port 0 picks a free one")
	names := c.Flags().StringSlice("name", nil, "further DNS names and IP addresses for the platform's own certificate")
	public := c.Flags().String("public-url", "", "where the outside reaches --http, such as http://pki.example.org: certificates then name revocation lists and OCSP there; remembered")
	plain := c.Flags().String("http", "", "address to serve revocation lists, OCSP and CA certificates on without TLS; they are signed")
	batchKeys := c.Flags().Bool("batch-keys-only", false, "refuse batches of SIMs that are sealed to the standing transport key: each needs its own (transport-key new)")
	keys, exposure := addKeys(c), addExposure(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *data == "" {
			return wrongUsage("which data? Give --data DIR")
		}
		collectLess()
		connection, err := rows()
		if err != nil {
			return err
		}
		options := platform.Options{Names: *names, Store: connection, NodeAddress: *node, PublicURL: *public, BatchKeysOnly: *batchKeys}
		if err := exposure.set(&options); err != nil {
			return err
		}
		if err := keys.set(&options, platform.Initialized(*data)); err != nil {
			return err
		}
		if !platform.Initialized(*data) {
			token, err := platform.Init(*data, options)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "Initialised %s\nAdmin token, shown this once: %s\n", *data, token)
		}
		p, err := platform.Open(*data, options)
		if err != nil {
			return err
		}
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			return errors.Join(err, p.Close())
		}
		admin, err := exposure.listen(l.Addr(), *listen)
		if err != nil {
			return errors.Join(err, l.Close(), p.Close())
		}
		if admin != nil {
			fmt.Fprintf(c.OutOrStdout(), "Metrics, health and readiness on http://%s\n", admin.Addr())
		}
		fmt.Fprintf(c.OutOrStdout(), "Serving on https://%s\nTrust anchor for clients: %s\n", l.Addr(), filepath.Join(*data, "ca.pem"))
		group, ctx := errgroup.WithContext(c.Context())
		if *plain != "" {
			open, err := net.Listen("tcp", *plain)
			if err != nil {
				return errors.Join(err, l.Close(), p.Close())
			}
			fmt.Fprintf(c.OutOrStdout(), "Revocation on http://%s\n", open.Addr())
			group.Go(func() error { return p.ServePlain(ctx, open) })
		}
		group.Go(func() error { return p.Serve(ctx, l) })
		if admin != nil {
			group.Go(func() error { return p.ServeAdmin(ctx, admin) })
		}
		return errors.Join(group.Wait(), p.Close())
	}
	return c
}

func newAdminToken() *cobra.Command {
	c := &cobra.Command{
		Use:   "admin-token --data DIR",
		Short: "Make another admin token with the platform's folder in hand",
		Long: `Makes an admin token when all others have expired or are lost. It needs the
platform's folder. On SQLite the platform must not be running.`,
		Args: cobra.NoArgs,
	}
	data := c.Flags().String("data", "", "the platform's folder")
	rows, pass := addStore(c), addPassphrase(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *data == "" {
			return wrongUsage("which data? Give --data DIR")
		}
		connection, err := rows()
		if err != nil {
			return err
		}
		passphrase, err := pass()
		if err != nil {
			return err
		}
		token, err := platform.NewAdminToken(*data, platform.Options{Store: connection, Passphrase: passphrase})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(c.OutOrStdout(), token)
		return err
	}
	return c
}

// collectLess trades memory for processor time: little of what a platform makes lives long, and looking for
// it takes an eighth of an enrolment with Go's default. Who has set GOGC knows better.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
}
