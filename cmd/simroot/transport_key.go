package main

import (
	"encoding/hex"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newTransportKey() *cobra.Command {
	c := &cobra.Command{
		Use: "transport-key", Short: "Print the key to which SIM keys in batch files are sealed, or make one for a single batch", Args: cobra.NoArgs,
		Long: `Prints the standing transport key, which is good for any batch. A key for one batch (new)
is better: once that is imported, nobody can open it any more, the platform included.`,
	}
	n := addConnection(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return n.with(func(client *api.Client) error {
			key, err := client.TransportKey(c.Context())
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), hex.EncodeToString(key.Key))
			return err
		})
	}
	c.AddCommand(newTransportKeyNew(), newTransportKeyWithdraw(), newList("list", "List the transport keys for one batch each", "KEY NOTE CREATED EXPIRES USED BATCH WITHDRAWN",
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.BatchKey, error] {
			return client.BatchKeys(c.Context())
		},
		func(k api.BatchKey) []string {
			return []string{hex.EncodeToString(k.Key), orDash(k.Note), day(k.Created), day(k.Expires), day(k.Used), orDash(k.Batch), day(k.Withdrawn)}
		}))
	return c
}

func newTransportKeyNew() *cobra.Command {
	c := &cobra.Command{
		Use: "new [--note TEXT] [--lifetime DURATION]", Short: "Make a transport key for one batch and print its public half", Args: cobra.NoArgs,
		Example: `  simroot platform transport-key new --note "lot 7 of Example Cards"`,
	}
	n, asJSON := addAdministration(c), addJSON(c)
	note := c.Flags().String("note", "", "what it is for")
	lifetime := c.Flags().Duration("lifetime", 0, "until when a batch has to be imported with it (default 720h)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return n.with(func(client *api.Client) error {
			key, err := client.NewBatchKey(c.Context(), api.BatchKeyRequest{Note: *note, Lifetime: api.Duration(*lifetime)})
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), key)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), hex.EncodeToString(key.Key))
			return err
		})
	}
	return c
}

func newTransportKeyWithdraw() *cobra.Command {
	c := &cobra.Command{
		Use: "withdraw KEY", Short: "Withdraw a transport key for one batch that was not used", Args: cobra.ExactArgs(1),
		Long: `Erases the private half of the key: a batch that is sealed to it cannot be imported, nor opened by anybody.
A key that was used is refused. Withdrawing a key again changes nothing.`,
		Example: "  simroot platform transport-key withdraw $(cat lot-7.key)",
	}
	n := addAdministration(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		key, err := hex.DecodeString(args[0])
		if err != nil || len(key) != api.SealKeySize {
			return wrongUsage("KEY: want the public half of a transport key, %d hexadecimal digits", 2*api.SealKeySize)
		}
		return n.with(func(client *api.Client) error { return client.WithdrawBatchKey(c.Context(), key) })
	}
	return c
}
