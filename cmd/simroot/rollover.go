package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newCA() *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "The platform's CA: its rollover to the next one"}
	r := &cobra.Command{
		Use: "rollover", Short: "Take the platform from one CA to the next",
		Long: `Takes the platform from one CA to the next while everything goes on. Begin makes the new
CA; application servers trust both at once, SIMs get the new root with their next
credential, or sooner in an anchor campaign. When all SIMs hold it, finish lets the new CA
issue. The old one is trusted until its last certificate has ended.`,
		Example: "  simroot platform ca rollover begin\n  simroot platform campaigns create meters --kind anchor\n  simroot platform ca rollover status\n  simroot platform ca rollover finish",
	}
	force := false
	finish := newRolloverVerb("finish", "Let the new CA issue, when all SIMs hold its root", func(c *cobra.Command, client *api.Client, why api.Change) (api.CARollover, error) {
		return client.FinishRollover(c.Context(), api.FinishRollover{Force: force, Change: why})
	})
	finish.Flags().BoolVar(&force, "force", false, "though SIMs lack the new root, which will not know their servers any more")
	r.AddCommand(
		newRolloverVerb("begin", "Make the new CA and publish both", func(c *cobra.Command, client *api.Client, why api.Change) (api.CARollover, error) {
			return client.BeginRollover(c.Context(), why)
		}),
		newRolloverVerb("status", "Show which CAs there are, and how many SIMs lack a root", func(c *cobra.Command, client *api.Client, _ api.Change) (api.CARollover, error) {
			return client.Rollover(c.Context())
		}),
		finish,
		newRolloverVerb("abort", "Give the new CA up and destroy its keys", func(c *cobra.Command, client *api.Client, why api.Change) (api.CARollover, error) {
			return client.AbortRollover(c.Context(), why)
		}))
	c.AddCommand(r)
	return c
}

func newRolloverVerb(verb, short string, apply func(*cobra.Command, *api.Client, api.Change) (api.CARollover, error)) *cobra.Command {
	c := &cobra.Command{Use: verb, Short: short, Args: cobra.NoArgs}
	n, asJSON := addAdministration(c), addJSON(c)
	var why api.Change
	if verb != "status" {
		c.Flags().StringVar(&why.Note, "note", "", "a note for the audit log")
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return n.with(func(client *api.Client) error {
			s, err := apply(c, client, why)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), s)
			}
			return printRollover(c.OutOrStdout(), s)
		})
	}
	return c
}

func printRollover(w io.Writer, s api.CARollover) error {
	left := 0
	for _, n := range s.Without {
		left += n
	}
	rows := [][2]string{
		{"rollover", string(s.State)}, {"issuing", s.Issuing}, {"next", orDash(s.Next)}, {"before", orDash(s.Before)},
		{"since", day(s.Since)}, {"until", day(s.Until)}, {"SIMs without", number(int64(left))},
	}
	for _, fleet := range slices.Sorted(maps.Keys(s.Without)) {
		rows = append(rows, [2]string{"  " + fleet, number(int64(s.Without[fleet]))})
	}
	for _, row := range rows {
		if _, err := fmt.Fprintf(w, "%-13s %s\n", row[0], row[1]); err != nil {
			return err
		}
	}
	return nil
}
