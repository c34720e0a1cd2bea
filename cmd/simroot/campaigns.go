package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newCampaigns() *cobra.Command {
	c := &cobra.Command{
		Use: "campaigns", Short: "Campaigns: one thing for all SIMs of a fleet",
		Long: `Does one thing with every SIM of a fleet: a new credential (rotate, renew), the platform's
trust anchors (anchor), or the end of what it holds (revoke). SIMs come by themselves: a
campaign marks them as due, and each is done at its next visit.`,
	}
	c.AddCommand(newCampaignsCreate(), newCampaignsShow(), newCampaignsSIMs(),
		newList("list", "List the campaigns", "CAMPAIGN FLEET KIND STATE CANARY CREATED NOTE",
			func(c *cobra.Command, client *api.Client) iter.Seq2[api.Campaign, error] {
				return client.Campaigns(c.Context())
			},
			func(k api.Campaign) []string {
				return []string{k.ID, k.Fleet, string(k.Kind), string(k.State), share(k), day(k.Created), orDash(k.Note)}
			}),
		newCampaignChange(api.CampaignPause, "Do nothing more until it is resumed"),
		newCampaignChange(api.CampaignResume, "End a pause"),
		newCampaignChange(api.CampaignProceed, "Go on to all SIMs, though not all canaries are done"),
		newCampaignChange(api.CampaignRetry, "Try again with the SIMs that have failed, and no others"),
		newCampaignChange(api.CampaignAbort, "End it for good; what is done stays done"))
	return c
}

// share is the part of the SIMs that a campaign is held to.
func share(k api.Campaign) string {
	if k.Canary == 0 {
		return "all"
	}
	return fmt.Sprintf("%d%%", k.Canary)
}

func printCampaign(w io.Writer, k api.Campaign) error {
	p := k.Progress
	if p == nil {
		p = &api.CampaignProgress{}
	}
	_, err := fmt.Fprintf(w, "campaign   %s\nfleet      %s\nkind       %s\nstate      %s\nSIMs       %s\ndone       %d of %d\nfailed     %d\n",
		k.ID, k.Fleet, k.Kind, k.State, share(k), p.Done, p.Done+p.Remaining, p.Failed)
	if err == nil && k.Canary > 0 {
		_, err = fmt.Fprintf(w, "canaries   %d remain\n", p.Canaries)
	}
	return err
}

func newCampaignsCreate() *cobra.Command {
	c := &cobra.Command{
		Use: "create FLEET --kind KIND", Short: "Begin a campaign", Args: cobra.ExactArgs(1),
		Example: "  simroot platform campaigns create meters --kind rotate --canary 5",
	}
	n, asJSON, change := addAdministration(c), addJSON(c), addChange(c)
	kind := c.Flags().String("kind", "", "rotate, renew, anchor or revoke")
	choices(c, "kind", api.RotateAll, api.RenewAll, api.AnchorAll, api.RevokeAll)
	c.ValidArgsFunction = upTo(1, fleetsBegun)
	canary := c.Flags().Int("canary", 0, "percent of the SIMs to begin with, 0 for all at once (default that of the fleet)")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *kind == "" {
			return wrongUsage("which kind? Give --kind rotate, renew, anchor or revoke")
		}
		r := api.CampaignRequest{Fleet: args[0], Kind: api.CampaignKind(*kind), Reason: change.Reason, Note: change.Note}
		if c.Flags().Changed("canary") {
			r.Canary = canary
		}
		return n.with(func(client *api.Client) error {
			made, err := client.CreateCampaign(c.Context(), r)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), made)
			}
			return printCampaign(c.OutOrStdout(), made)
		})
	}
	return c
}

// followEvery is how often a followed campaign is looked at.
const followEvery = 2 * time.Second

func newCampaignsShow() *cobra.Command {
	c := &cobra.Command{Use: "show CAMPAIGN", Short: "Show a campaign and how far it has come", Args: cobra.ExactArgs(1)}
	n, asJSON := addAdministration(c), addJSON(c)
	follow := c.Flags().Bool("follow", false, "wait until it has ended, and show progress meanwhile (on a terminal)")
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			k, err := client.Campaign(c.Context(), args[0])
			if err == nil && *follow {
				k, err = followCampaign(c.Context(), client, k, progressOn(c.ErrOrStderr(), isTerminal(c.ErrOrStderr())))
			}
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), k)
			}
			return printCampaign(c.OutOrStdout(), k)
		})
	}
	return c
}

// followCampaign waits for the end of a campaign, and tells its progress.
func followCampaign(ctx context.Context, client *api.Client, k api.Campaign, tell func(string)) (_ api.Campaign, err error) {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	defer tell("")
	for k.State == api.CampaignRunning || k.State == api.CampaignPaused {
		tell(fmt.Sprintf("%s: %d done, %d remain, %d failed", k.State, k.Progress.Done, k.Progress.Remaining, k.Progress.Failed))
		select {
		case <-tick.C:
		case <-ctx.Done():
			return k, context.Cause(ctx)
		}
		if k, err = client.Campaign(ctx, k.ID); err != nil {
			return k, err
		}
	}
	return k, nil
}

func newCampaignsSIMs() *cobra.Command {
	c := &cobra.Command{Use: "sims CAMPAIGN", Short: "List what has become of each SIM that has come", Args: cobra.ExactArgs(1)}
	n, asJSON := addAdministration(c), addJSON(c)
	state := c.Flags().String("state", "", "only done, trying or failed")
	choices(c, "state", api.SIMDone, api.SIMTrying, api.SIMFailed)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			items, rows := []api.CampaignSIM{}, [][]string{}
			for s, err := range client.CampaignSIMs(c.Context(), args[0], api.CampaignSIMState(*state)) {
				if err != nil {
					return err
				}
				items = append(items, s)
				rows = append(rows, []string{s.ICCID, string(s.State), number(int64(s.Attempts)), orDash(s.Credential), day(s.Updated), orDash(s.Problem)})
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), items)
			}
			return table(c.OutOrStdout(), "ICCID STATE FAILURES CREDENTIAL UPDATED PROBLEM", rows)
		})
	}
	return c
}

func newCampaignChange(verb api.CampaignVerb, short string) *cobra.Command {
	c := &cobra.Command{Use: string(verb) + " CAMPAIGN", Short: short, Args: cobra.ExactArgs(1)}
	n, asJSON := addAdministration(c), addJSON(c)
	var change api.Change
	c.Flags().StringVar(&change.Note, "note", "", "a note for the audit log")
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			k, err := client.ChangeCampaign(c.Context(), args[0], verb, change)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), k)
			}
			return printCampaign(c.OutOrStdout(), k)
		})
	}
	return c
}
