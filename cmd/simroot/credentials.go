package main

import (
	"io"
	"iter"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

const credentialHeading = "CREDENTIAL ICCID TYPE STATE SLOT VALID-UNTIL REASON"

func newCredentials() *cobra.Command {
	c := &cobra.Command{Use: "credentials", Short: "Credentials: list, show, revoke"}
	c.AddCommand(newCredentialsList(), newCredentialsShow(), newCredentialsRevoke())
	return c
}

func credentialRow(c api.Credential) []string {
	return []string{c.ID, c.ICCID, string(c.Type), string(c.State), strconv.Itoa(c.Slot), day(c.NotAfter), orDash(string(c.Reason))}
}

func printCredentials(w io.Writer, credentials []api.Credential) error {
	rows := make([][]string, len(credentials))
	for i, c := range credentials {
		rows[i] = credentialRow(c)
	}
	return table(w, credentialHeading, rows)
}

func newCredentialsList() *cobra.Command {
	var filter api.CredentialFilter
	var state string
	c := newList("list", "List credentials", credentialHeading,
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.Credential, error] {
			filter.State = api.CredentialState(state)
			return client.Credentials(c.Context(), filter)
		}, credentialRow)
	c.Flags().StringVar(&filter.ICCID, "iccid", "", "only of this SIM")
	if err := c.RegisterFlagCompletionFunc("iccid", simsBegun); err != nil {
		panic(err) // see choices
	}
	c.Flags().StringVar(&state, "state", "", "only in this state")
	choices(c, "state", api.Requested, api.Keyed, api.Issued, api.Delivered, api.Active, api.Superseded, api.Expired, api.Revoked)
	return c
}

func newCredentialsShow() *cobra.Command {
	c := &cobra.Command{Use: "show ID", Short: "Show one credential", Args: cobra.ExactArgs(1)}
	c.ValidArgsFunction = upTo(1, credentialsBegun)
	n, asJSON := addAdministration(c), addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			credential, err := client.Credential(c.Context(), args[0])
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), credential)
			}
			return printCredentials(c.OutOrStdout(), []api.Credential{credential})
		})
	}
	return c
}

func newCredentialsRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke ID", Short: "Revoke one credential", Args: cobra.ExactArgs(1)}
	c.ValidArgsFunction = upTo(1, credentialsBegun)
	n, asJSON, change := addAdministration(c), addJSON(c), addChange(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			credential, err := client.RevokeCredential(c.Context(), args[0], *change)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), credential)
			}
			return printCredentials(c.OutOrStdout(), []api.Credential{credential})
		})
	}
	return c
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
