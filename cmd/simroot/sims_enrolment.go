package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newSIMsEnrolmentSecret() *cobra.Command {
	c := &cobra.Command{
		Use: "enrolment-secret ICCID", Short: "Make a one-time secret for EST and print it, this once", Args: cobra.ExactArgs(1),
		Long: `Makes the secret with which a SIM's device enrols once over EST, as the password to its
ICCID in HTTP Basic authentication. The platform keeps only a hash. The secret before it,
if there was one, is good no longer.`,
		Example: "  simroot platform sims enrolment-secret 89882119900000000017 --token-file token",
	}
	c.ValidArgsFunction = upTo(1, simsBegun)
	n, asJSON := addAdministration(c), addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			made, err := client.NewEnrolmentSecret(c.Context(), args[0])
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), made)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), made.Secret)
			return err
		})
	}
	return c
}
