package main

import (
	"iter"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

// newList makes a verb that lists things of the platform, as a table or as JSON.
func newList[T any](use, short, heading string, all func(*cobra.Command, *api.Client) iter.Seq2[T, error], row func(T) []string) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	n, asJSON := addAdministration(c), addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return n.with(func(client *api.Client) error {
			items := []T{}
			for item, err := range all(c, client) {
				if err != nil {
					return err
				}
				items = append(items, item)
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), items)
			}
			rows := make([][]string, len(items))
			for i, item := range items {
				rows[i] = row(item)
			}
			return table(c.OutOrStdout(), heading, rows)
		})
	}
	return c
}
