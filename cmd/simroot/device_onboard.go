package main

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
)

func newDeviceOnboard() *cobra.Command {
	c := &cobra.Command{
		Use:   "onboard --card URI --platform URL [--ca FILE] [--watch]",
		Short: "Bring the SIM its credential (the switch-on walk), once or from now on",
		Long: `Opens a relay session with the platform and passes sealed commands to the SIM
until the SIM holds a good credential. It may be cut anywhere and repeated: the
SIM keeps the credential it had until the new one is complete.

With --server, a new credential is tried there before it takes the place of one
that works: until it has worked, the SIM uses the old one and servers accept it.

With --watch it stays: it switches the SIM on, renews its credential in time, and
never gives up on what may pass: a platform or a SIM that is away. It ends when it
is told to (exit code 0), or when the platform refuses the SIM for good (1).`,
		Example: `  simroot device onboard --card pcsc: --platform https://sims.example --ca ca.pem
  simroot device onboard --card modem:/dev/ttyUSB2 --platform https://sims.example --ca ca.pem \
      --server broker.example:8883 --watch --status /run/simroot/status.json`,
		Args: cobra.NoArgs,
	}
	sim, platform, asJSON := addCard(c), addConnection(c), addJSON(c)
	var servers []string
	var serverCA string
	c.Flags().StringArrayVar(&servers, "server", nil, "try a new credential at this TLS server (HOST:PORT) before it is used; may be given several times")
	c.Flags().StringVar(&serverCA, "server-ca", "", "file with the trust anchors of --server, PEM; without it, those on the SIM, or the system's")
	watch := addWatch(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		opts, err := trying(servers, serverCA)
		if err != nil {
			return err
		}
		if err := watch.check(c); err != nil {
			return err
		}
		if *asJSON && watch.on {
			return wrongUsage("--json is for one onboarding; with --watch, read --status FILE")
		}
		client, err := platform.open()
		if err != nil {
			return err
		}
		defer client.Close()
		if watch.on {
			return watch.run(c, sim, client, opts)
		}
		return onboardOnce(c, sim, client, opts, *asJSON)
	}
	return c
}

// trying is the option that tries new credentials at servers, if there are any.
func trying(servers []string, ca string) ([]device.Option, error) {
	if len(servers) == 0 {
		if ca != "" {
			return nil, wrongUsage("--server-ca without --server")
		}
		return nil, nil
	}
	for _, server := range servers {
		if host, _, err := net.SplitHostPort(server); err != nil || host == "" {
			return nil, wrongUsage("--server %q: want HOST:PORT", server)
		}
	}
	var roots *x509.CertPool
	if ca != "" {
		var err error
		if roots, err = api.LoadRoots(ca); err != nil {
			return nil, err
		}
	}
	return []device.Option{device.WithTrial(device.HandshakeWith(roots, servers...))}, nil
}

func onboardOnce(c *cobra.Command, sim *cardFlags, client *api.Client, opts []device.Option, asJSON bool) error {
	d, err := sim.open(c, opts...)
	if err != nil {
		return err
	}
	defer closeDevice(c, d)
	done, err := d.Onboard(c.Context(), client)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), done)
	}
	return printOnboarding(c.OutOrStdout(), done)
}

func printOnboarding(w io.Writer, done device.Onboarding) error {
	what := "already holds a good credential"
	if done.Changed {
		what = "holds a new credential"
	}
	_, err := fmt.Fprintf(w, "SIM %s %s\n  credential  %s (%s, fleet %s)\n  valid       %s to %s\n  come again  %s\n  cost        %d APDUs, %d bytes, %d round trips\n",
		done.Credential.ICCID, what, done.Credential.ID, done.Credential.Type, done.Credential.Fleet,
		day(done.Credential.NotBefore), day(done.Credential.NotAfter), day(done.RenewAt), done.Commands, done.Bytes, done.Steps)
	return err
}
