package main

import (
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newFleets() *cobra.Command {
	c := &cobra.Command{Use: "fleets", Short: "Fleets: SIMs under one credential profile"}
	c.AddCommand(newFleetsCreate(), newList("list", "List all fleets", "NAME TYPE LIFETIME RENEW-BEFORE ORGANIZATION CREATED",
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.Fleet, error] {
			return client.Fleets(c.Context())
		},
		func(f api.Fleet) []string {
			return []string{f.Name, string(f.Profile.Type), f.Profile.Lifetime.String(), f.Profile.RenewBefore.String(), orDash(f.Profile.Organization), day(f.Created)}
		}))
	return c
}

func newFleetsCreate() *cobra.Command {
	c := &cobra.Command{Use: "create NAME", Short: "Create a fleet", Args: cobra.ExactArgs(1)}
	n, asJSON := addAdministration(c), addJSON(c)
	kind := c.Flags().String("type", string(api.CertificateType), "credential type: certificate or psk")
	organization := c.Flags().String("organization", "", "organization in the certificates' subjects")
	lifetime := c.Flags().Duration("lifetime", 0, "how long a credential is good (default 2160h)")
	renew := c.Flags().Duration("renew-before", 0, "how long before its end it is renewed (default a third of the lifetime)")
	reenrol := c.Flags().Bool("allow-reenrolment", false, "let a SIM whose credential was revoked onboard again")
	c.RunE = func(c *cobra.Command, args []string) error {
		fleet := api.Fleet{Name: args[0], Profile: api.Profile{
			Type: api.CredentialType(*kind), Organization: *organization,
			Lifetime: api.Duration(*lifetime), RenewBefore: api.Duration(*renew), AllowReenrolment: *reenrol,
		}.WithDefaults()}
		if err := fleet.Profile.Check(); err != nil {
			return usageError{err}
		}
		return n.with(func(client *api.Client) error {
			made, err := client.CreateFleet(c.Context(), fleet)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), made)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "Created fleet %s: %s, good for %s, renewed %s before the end\n",
				made.Name, made.Profile.Type, time.Duration(made.Profile.Lifetime), time.Duration(made.Profile.RenewBefore))
			return err
		})
	}
	return c
}
