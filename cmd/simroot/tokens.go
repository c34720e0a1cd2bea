package main

import (
	"encoding/hex"
	"fmt"
	"iter"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newTokens() *cobra.Command {
	c := &cobra.Command{Use: "tokens", Short: "Tokens: create, list, withdraw"}
	c.AddCommand(newTokensCreate(), newList("list", "List tokens", "ID NAME ROLE FLEETS CREATED EXPIRES",
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.Token, error] {
			return client.Tokens(c.Context())
		},
		func(t api.Token) []string {
			return []string{t.ID, t.Name, string(t.Role), fleetNames(t.Fleets), day(t.Created), day(t.Expires)}
		}), newTokensWithdraw())
	return c
}

func newTokensCreate() *cobra.Command {
	c := &cobra.Command{
		Use:     "create NAME --role ROLE",
		Short:   "Create a token and print it, this once",
		Args:    cobra.ExactArgs(1),
		Example: `  simroot platform tokens create night-shift --role operator --fleet meters --lifetime 12h`,
	}
	n, asJSON := addAdministration(c), addJSON(c)
	role := c.Flags().String("role", "", "admin, operator, auditor or appserver")
	choices(c, "role", api.RoleAdmin, api.RoleOperator, api.RoleAuditor, api.RoleAppServer)
	lifetime := c.Flags().Duration("lifetime", 0, "how long it is good (default 720h, appserver 8760h)")
	fleets := c.Flags().StringSlice("fleet", nil, "only for what belongs to this fleet; may be repeated (default all)")
	sealing := c.Flags().String("sealing-key", "", "public key, hexadecimal, to which PSKs are sealed for an application server")
	c.RunE = func(c *cobra.Command, args []string) error {
		request := api.TokenRequest{Name: args[0], Fleets: *fleets, Role: api.Role(*role), Lifetime: api.Duration(*lifetime)}
		if *sealing != "" {
			key, err := hex.DecodeString(*sealing)
			if err != nil || len(key) != api.SealKeySize {
				return wrongUsage("--sealing-key: want %d bytes in hexadecimal", api.SealKeySize)
			}
			request.SealingKey = key
		}
		return n.with(func(client *api.Client) error {
			token, err := client.CreateToken(c.Context(), request)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), token)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), token.Secret)
			return err
		})
	}
	return c
}

func newTokensWithdraw() *cobra.Command {
	c := &cobra.Command{Use: "withdraw ID", Short: "Withdraw a token", Args: cobra.ExactArgs(1)}
	n := addAdministration(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error { return client.WithdrawToken(c.Context(), args[0]) })
	}
	return c
}

// fleetNames is the cell of a table that tells what somebody is restricted to.
func fleetNames(fleets []string) string {
	if len(fleets) == 0 {
		return "all"
	}
	return strings.Join(fleets, ",")
}
