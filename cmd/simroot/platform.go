package main

import (
	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newPlatform() *cobra.Command {
	c := &cobra.Command{
		Use:   "platform",
		Short: "Run the security services platform, or administer one",
		Long: `Runs the security services platform (serve), or administers a running one: the
other verbs are clients of its API, and need --platform, --ca and a token.`,
	}
	c.AddCommand(newPlatformInit(), newPlatformServe(), newPlatformBackup(), newPlatformRestore(), newAdminToken())
	for _, verb := range []func() *cobra.Command{newFleets, newSIMs, newCredentials, newCampaigns, newCA, newTokens, newAppServers, newServers, newAudit, newTransportKey, newKEK, newCRL} {
		c.AddCommand(verb())
	}
	return c
}

func newCRL() *cobra.Command {
	c := &cobra.Command{
		Use:   "crl [--all | [--ca N] [--delta | --shard N]]",
		Short: "Write the current certificate revocation list, DER, to standard output",
		Long: `Writes the complete list of the CA that issues; with --delta what has changed on it during
the last day (RFC 5280, 5.2.4); with --shard one of the 64 parts that certificates name.
During a rollover of the CA there are lists of two: --ca says of which. With --all the
complete lists of all, and of their roots, are written in PEM: what TLS servers read.`,
		Example: `  simroot platform crl --all >crl.pem
  simroot platform crl --shard 7 | openssl crl -inform DER -text -noout`,
		Args: cobra.NoArgs,
	}
	delta := c.Flags().Bool("delta", false, "what has changed during the last day")
	shard := c.Flags().Int("shard", -1, "one part, 0 to 63")
	ca := c.Flags().Int("ca", 0, "the list of this issuing CA: 1 is the first, 2 the one that follows it")
	all := c.Flags().Bool("all", false, "the lists of all CAs, in PEM")
	c.MarkFlagsMutuallyExclusive("delta", "shard", "all")
	c.MarkFlagsMutuallyExclusive("ca", "all")
	n := addConnection(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return n.with(func(client *api.Client) (err error) {
			var der []byte
			switch {
			case *all:
				der, err = client.CRLs(c.Context())
			case *shard >= 0:
				der, err = client.CRLShard(c.Context(), max(*ca, 1), *shard)
			case *delta && *ca > 0:
				der, err = client.CRLDeltaOf(c.Context(), *ca)
			case *delta:
				der, err = client.CRLDelta(c.Context())
			case *ca > 0:
				der, err = client.CRLOf(c.Context(), *ca)
			default:
				der, err = client.CRL(c.Context())
			}
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(der)
			return err
		})
	}
	return c
}
