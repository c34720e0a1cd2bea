package main

import (
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newAppServers() *cobra.Command {
	c := &cobra.Command{
		Use: "appservers", Short: "Application servers that follow the platform: add, list, withdraw",
		Long: `Says which application servers may follow the platform, and so know which SIMs are good:
those that run "simroot appserver" or package appserver. The TLS certificates that servers
show to devices are "simroot platform servers".`,
	}
	c.AddCommand(newAppServersAdd(), newAppServersList(), newAppServersWithdraw())
	return c
}

func newAppServersList() *cobra.Command {
	return newList("list", "List the application servers that were invited or have registered", "ID NAME FLEETS CREATED REGISTERED CERTIFICATE-ENDS",
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.AppServer, error] {
			return client.AppServers(c.Context())
		},
		func(a api.AppServer) []string {
			return []string{a.ID, a.Name, fleetNames(a.Fleets), day(a.Created), day(a.Registered), day(a.NotAfter)}
		})
}

func newAppServersAdd() *cobra.Command {
	c := &cobra.Command{
		Use:   "add NAME [--fleet FLEET]…",
		Short: "Invite an application server and print its one-time token, this once",
		Long: `Makes a one-time token. Where the application server runs, "simroot appserver register"
trades it for a certificate, which renews itself from then on.`,
		Example: `  simroot platform appservers add broker --fleet meters`,
		Args:    cobra.ExactArgs(1),
	}
	n, asJSON := addAdministration(c), addJSON(c)
	fleets := c.Flags().StringSlice("fleet", nil, "let it know the SIMs of this fleet only; may be repeated (default all)")
	lifetime := c.Flags().Duration("lifetime", 0, "how long the one-time token is good (default 24h)")
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			made, err := client.InviteAppServer(c.Context(), api.Invitation{Name: args[0], Fleets: *fleets, Lifetime: api.Duration(*lifetime)})
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), made)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), made.Token)
			return err
		})
	}
	return c
}

func newAppServersWithdraw() *cobra.Command {
	c := &cobra.Command{
		Use:   "withdraw ID",
		Short: "Withdraw an application server: its certificate opens nothing any more, at once",
		Args:  cobra.ExactArgs(1),
	}
	n := addAdministration(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error { return client.WithdrawAppServer(c.Context(), args[0]) })
	}
	return c
}
