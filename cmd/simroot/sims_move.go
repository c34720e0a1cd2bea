package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newSIMsMove() *cobra.Command {
	c := &cobra.Command{
		Use: "move ICCID --fleet NAME", Short: "Move a SIM to another fleet", Args: cobra.ExactArgs(1),
		Long: `Moves a SIM to another fleet. It keeps its credential, and gets one of the new fleet when
it comes next.`,
		Example: "  simroot platform sims move 89882119900000000017 --fleet meters-south",
	}
	c.ValidArgsFunction = upTo(1, simsBegun)
	n, asJSON, change := addAdministration(c), addJSON(c), addChange(c)
	fleet := c.Flags().String("fleet", "", "where to")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *fleet == "" {
			return wrongUsage("where to? Give --fleet NAME")
		}
		return n.with(func(client *api.Client) error {
			sim, err := client.MoveSIM(c.Context(), args[0], api.Move{Fleet: *fleet, Change: *change})
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), sim)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "SIM %s is in fleet %s\n", sim.ICCID, sim.Fleet)
			return err
		})
	}
	return c
}

func newSIMsReplace() *cobra.Command {
	c := &cobra.Command{
		Use: "replace OLD NEW", Short: "Put a SIM in the place of another, which is terminated", Args: cobra.ExactArgs(2),
		Long: `Puts a SIM in the place of another: the new one, which must be imported and never have
come, takes over the old one's fleet, and the old one is terminated. Both happens, or nothing.`,
		Example: "  simroot platform sims replace 89882119900000000017 89882119900000000025",
	}
	c.ValidArgsFunction = upTo(2, simsBegun)
	n, asJSON, change := addAdministration(c), addJSON(c), addChange(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			sim, err := client.ReplaceSIM(c.Context(), args[0], api.Replacement{By: args[1], Change: *change})
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), sim)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "SIM %s has taken the place of %s, which is terminated\n", sim.ICCID, sim.Replaces)
			return err
		})
	}
	return c
}
