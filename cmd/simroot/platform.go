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
	for _, verb := range []func() *cobra.Command{newFleets, newSIMs, newCredentials, newCampaigns, newCA, newTokens, newServers, newAudit, newTransportKey, newKEK, newCRL} {
		c.AddCommand(verb())
	}
	return c
}

func newCRL() *cobra.Command {
	c := &cobra.Command{
		Use:   "crl [--delta | --shard N]",
		Short: "Write the current certificate revocation list, DER, to standard output",
		Long: `Writes the complete list; with --delta what has changed on it during the last day
(RFC 5280, 5.2.4); with --shard one of the 64 parts that certificates name.`,
		Example: `  simroot platform crl >revoked.crl
  simroot platform crl --shard 7 | openssl crl -inform DER -text -noout`,
		Args: cobra.NoArgs,
	}
	delta := c.Flags().Bool("delta", false, "what has changed during the last day")
	shard := c.Flags().Int("shard", -1, "one part, 0 to 63")
	c.MarkFlagsMutuallyExclusive("delta", "shard")
	n := addConnection(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return n.with(func(client *api.Client) (err error) {
			var der []byte
			switch {
			case *delta:
				der, err = client.CRLDelta(c.Context())
			case *shard >= 0:
				der, err = client.CRLShard(c.Context(), *shard)
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
