package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newSIMs() *cobra.Command {
	c := &cobra.Command{Use: "sims", Short: "SIMs: import, list, note attributes, suspend, resume, revoke, move, replace, terminate"}
	c.AddCommand(newSIMsSeal(), newSIMsImport(), newSIMsList(), newSIMsShow(), newSIMsSet(),
		newSIMChange("suspend", "Accept none of the SIM's credentials until it is resumed", (*api.Client).SuspendSIM),
		newSIMChange("resume", "End a suspension", (*api.Client).ResumeSIM),
		newSIMChange("terminate", "Revoke the SIM's credentials and never accept it again", (*api.Client).TerminateSIM),
		newSIMsRevoke(), newSIMsEnrolmentSecret(), newSIMsMove(), newSIMsReplace())
	return c
}

func newSIMsImport() *cobra.Command {
	c := &cobra.Command{Use: "import FILE --fleet NAME", Short: "Import a batch of SIMs: all of it, or nothing", Args: cobra.ExactArgs(1),
		Example: "  simroot platform sims import meters.batch --fleet meters --dry-run\n  simroot platform sims import meters.batch --fleet meters"}
	n, asJSON := addAdministration(c), addJSON(c)
	fleet := c.Flags().String("fleet", "", "the fleet that the SIMs belong to")
	var o api.ImportOptions
	c.Flags().BoolVar(&o.KeepGood, "keep-good", false, "leave out lines that are wrong, and import the others")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "tell what would become of each line, and change nothing")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *fleet == "" {
			return wrongUsage("which fleet? Give --fleet NAME")
		}
		batch, err := os.Open(args[0])
		if err != nil {
			return err
		}
		defer batch.Close()
		if o.ID, err = batchName(batch); err != nil {
			return err
		}
		return n.with(func(client *api.Client) error {
			result, err := client.ImportWith(c.Context(), *fleet, progressOf(batch, c.ErrOrStderr()), o)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), result)
			}
			return printImport(c.OutOrStdout(), *fleet, result)
		})
	}
	return c
}

func newSIMsList() *cobra.Command {
	var filter api.SIMFilter
	var state string
	c := newList("list", "List SIMs", "ICCID FLEET STATE LAST-SEEN",
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.SIM, error] {
			filter.State = api.SIMState(state)
			return client.SIMs(c.Context(), filter)
		},
		func(s api.SIM) []string { return []string{s.ICCID, s.Fleet, string(s.State), day(s.LastSeen)} })
	c.Flags().StringVar(&filter.Fleet, "fleet", "", "only this fleet")
	c.Flags().StringVar(&state, "state", "", "only this state: imported, seen, provisioned, suspended or terminated")
	choices(c, "state", api.Imported, api.Seen, api.Provisioned, api.Suspended, api.Terminated)
	return c
}

func newSIMsShow() *cobra.Command {
	c := &cobra.Command{Use: "show ICCID", Short: "Show one SIM with its credentials", Args: cobra.ExactArgs(1)}
	c.ValidArgsFunction = upTo(1, simsBegun)
	n, asJSON := addAdministration(c), addJSON(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			sim, err := client.SIM(c.Context(), args[0])
			if err != nil {
				return err
			}
			credentials := []api.Credential{}
			for credential, err := range client.Credentials(c.Context(), api.CredentialFilter{ICCID: args[0]}) {
				if err != nil {
					return err
				}
				credentials = append(credentials, credential)
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), struct {
					api.SIM
					Credentials []api.Credential `json:"credentials"`
				}{sim, credentials})
			}
			if err := printSIM(c.OutOrStdout(), sim); err != nil {
				return err
			}
			return printCredentials(c.OutOrStdout(), credentials)
		})
	}
	return c
}

func printSIM(w io.Writer, s api.SIM) error {
	if _, err := fmt.Fprintf(w, "SIM        %s\nfleet      %s\nstate      %s\nlast seen  %s\n", s.ICCID, s.Fleet, s.State, day(s.LastSeen)); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(s.Attributes)) {
		if _, err := fmt.Fprintf(w, "attribute  %s=%s\n", key, s.Attributes[key]); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w)
	return err
}

func newSIMsSet() *cobra.Command {
	c := &cobra.Command{
		Use: "set ICCID [KEY=VALUE…] [--remove KEY]", Short: "Set and remove attributes of a SIM, of which application servers hear",
		Example: "  simroot platform sims set 89882119900000000017 tenant=north site=4711 --remove spare",
		Args:    cobra.MinimumNArgs(1),
	}
	n, asJSON := addAdministration(c), addJSON(c)
	c.ValidArgsFunction = upTo(1, simsBegun)
	remove := c.Flags().StringArray("remove", nil, "an attribute to remove; may be given several times")
	c.RunE = func(c *cobra.Command, args []string) error {
		change := api.AttributeChange{Set: api.Attributes{}, Remove: *remove}
		for _, pair := range args[1:] {
			key, value, ok := strings.Cut(pair, "=")
			if !ok {
				return wrongUsage("%q: want KEY=VALUE", pair)
			}
			if _, twice := change.Set[key]; twice {
				return wrongUsage("attribute %s is given twice", key)
			}
			change.Set[key] = value
		}
		if len(change.Set) == 0 && len(change.Remove) == 0 {
			return wrongUsage("what is to change? Give KEY=VALUE or --remove KEY")
		}
		return n.with(func(client *api.Client) error {
			sim, err := client.SetSIMAttributes(c.Context(), args[0], change)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), sim)
			}
			return printSIM(c.OutOrStdout(), sim)
		})
	}
	return c
}

// addChange gives a command the flags that say why.
func addChange(c *cobra.Command) *api.Change {
	var change api.Change
	c.Flags().StringVar((*string)(&change.Reason), "reason", "", "unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn")
	choices(c, "reason", api.ReasonUnspecified, api.ReasonKeyCompromise, api.ReasonAffiliationChanged, api.ReasonSuperseded,
		api.ReasonCessationOfOperation, api.ReasonPrivilegeWithdrawn)
	c.Flags().StringVar(&change.Note, "note", "", "a note for the audit log")
	return &change
}

func newSIMChange(verb, short string, apply func(*api.Client, context.Context, string, api.Change) (api.SIM, error)) *cobra.Command {
	c := &cobra.Command{Use: verb + " ICCID", Short: short, Args: cobra.ExactArgs(1)}
	c.ValidArgsFunction = upTo(1, simsBegun)
	n, asJSON, change := addAdministration(c), addJSON(c), addChange(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			sim, err := apply(client, c.Context(), args[0], *change)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), sim)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "SIM %s is %s\n", sim.ICCID, sim.State)
			return err
		})
	}
	return c
}

func newSIMsRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke ICCID", Short: "Revoke all credentials of a SIM", Args: cobra.ExactArgs(1)}
	c.ValidArgsFunction = upTo(1, simsBegun)
	n, asJSON, change := addAdministration(c), addJSON(c), addChange(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			credentials, err := client.RevokeSIM(c.Context(), args[0], *change)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), credentials)
			}
			return printCredentials(c.OutOrStdout(), credentials)
		})
	}
	return c
}
