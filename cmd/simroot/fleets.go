package main

import (
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/simroot/simroot/api"
)

func newFleets() *cobra.Command {
	c := &cobra.Command{Use: "fleets", Short: "Fleets: SIMs under one credential profile"}
	c.AddCommand(newFleetsCreate(), newFleetsUpdate(), newList("list", "List all fleets", "NAME TYPE LIFETIME RENEW-BEFORE RENEWAL ORGANIZATION VERSION CREATED",
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.Fleet, error] {
			return client.Fleets(c.Context())
		},
		func(f api.Fleet) []string {
			return []string{f.Name, string(f.Profile.Type), f.Profile.Lifetime.String(), f.Profile.RenewBefore.String(),
				orDash(string(f.Profile.Renewal)), orDash(f.Profile.Organization), number(f.Version), day(f.Created)}
		}))
	return c
}

// addProfile gives a command the flags of a profile, which it reads into p.
func addProfile(flags *pflag.FlagSet, p *api.Profile) {
	flags.StringVar(&p.Organization, "organization", "", "organization in the certificates' subjects")
	duration := func(d *api.Duration, name, text string) { flags.DurationVar((*time.Duration)(d), name, 0, text) }
	duration(&p.Lifetime, "lifetime", "how long a credential is good (default 2160h)")
	duration(&p.RenewBefore, "renew-before", "how long before its end it is renewed (default a third of the lifetime)")
	flags.StringVar((*string)(&p.Renewal), "renewal", "", "rotate: with a new key, tried before the old one is given up; renew: a new certificate for the same key, tried likewise (default rotate)")
	duration(&p.KeyAge, "key-age", "how long a key is certified for in all, before there must be a new one (default without end; created with --renewal renew a year)")
	duration(&p.Grace, "grace", "how long after the end a SIM may still renew, proving that it holds the key that has ended (default for ever, without proof)")
	duration(&p.CheckIn, "check-in", "longest time between two visits of a device, in which a campaign reaches it; as long as the lifetime: only for renewals (default 168h)")
	flags.BoolVar(&p.RevokeOnRenew, "revoke-on-renew", false, "revoke a certificate when the next one is in use")
	flags.BoolVar(&p.AllowReenrolment, "allow-reenrolment", false, "let a SIM whose credential was revoked, or ended too long ago, onboard again")
	flags.IntVar(&p.IssuesPerDay, "issues-per-day", 0, "most credentials that one SIM may begin in a day (default any number)")
	addEST(flags, p)
	flags.IntVar(&p.Canary, "canary", 0, "percent of the SIMs with which a campaign begins (default all at once)")
}

func newFleetsCreate() *cobra.Command {
	c := &cobra.Command{Use: "create NAME", Short: "Create a fleet", Args: cobra.ExactArgs(1)}
	n, asJSON := addAdministration(c), addJSON(c)
	var p api.Profile
	c.Flags().StringVar((*string)(&p.Type), "type", string(api.CertificateType), "credential type: certificate or psk")
	addProfile(c.Flags(), &p)
	choices(c, "type", api.CertificateType, api.PSKType)
	choices(c, "renewal", api.Rotate, api.Renew)
	c.RunE = func(c *cobra.Command, args []string) error {
		fleet := api.Fleet{Name: args[0], Profile: p.WithDefaults()}
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
			_, err = fmt.Fprintf(c.OutOrStdout(), "Created fleet %s: %s\n", made.Name, inWords(made.Profile))
			return err
		})
	}
	return c
}

func inWords(p api.Profile) string {
	return fmt.Sprintf("%s, good for %s, renewed %s before the end", p.Type, time.Duration(p.Lifetime), time.Duration(p.RenewBefore))
}

func newFleetsUpdate() *cobra.Command {
	c := &cobra.Command{
		Use: "update NAME", Short: "Change the profile of a fleet", Args: cobra.ExactArgs(1),
		Long: `Changes what the flags name of a fleet's profile, and leaves the rest as it is. SIMs
follow at their next renewal. If somebody else changes the fleet at the same time, one of
the two is refused.`,
		Example: "  simroot platform fleets update meters --lifetime 720h --renewal renew",
	}
	n, asJSON := addAdministration(c), addJSON(c)
	var given api.Profile
	addProfile(c.Flags(), &given)
	choices(c, "renewal", api.Rotate, api.Renew)
	c.ValidArgsFunction = upTo(1, fleetsBegun)
	version := c.Flags().Int64("if-version", 0, "change only this version of the fleet (default the one that is there)")
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			fleet, err := client.Fleet(c.Context(), args[0])
			if err != nil {
				return err
			}
			if *version != 0 {
				fleet.Version = *version
			}
			// The flags that were given are read once more, into the profile as it is.
			into := pflag.NewFlagSet("profile", pflag.ContinueOnError)
			now := fleet.Profile
			addProfile(into, &now)
			now = fleet.Profile // adding flags sets their defaults
			given := 0
			c.Flags().Visit(func(f *pflag.Flag) {
				if into.Lookup(f.Name) != nil && err == nil {
					given++
					err = into.Set(f.Name, f.Value.String())
				}
			})
			if err != nil {
				return err
			}
			if given == 0 {
				return wrongUsage("change what? Give at least one flag of the profile")
			}
			fleet.Profile = now
			if err := fleet.Profile.Check(); err != nil {
				return usageError{err}
			}
			changed, err := client.UpdateFleet(c.Context(), fleet)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), changed)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "Fleet %s, version %d: %s\n", changed.Name, changed.Version, inWords(changed.Profile))
			return err
		})
	}
	return c
}
