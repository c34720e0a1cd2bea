package main

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/trace"
	"github.com/simroot/simroot/device/doctor"
)

func newDeviceDoctor() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor --card URI [--platform URL [--ca FILE]] [--server HOST:PORT [--server-ca FILE]]",
		Short: "Find out why a device cannot use its SIM",
		Long: `Walks the chain from the port to the handshake, link by link: port, modem or reader,
SIM, channel, AID, applet, objects, certificate, platform, clock, server, handshake. It stops
at the first that is broken, and tells what it saw there, what that means and what to do.

Nothing on the SIM changes. --platform has the platform asked and the clock compared with
its own; --server has a handshake tried with what the SIM holds, a certificate or a
pre-shared key. What is not asked for is left out.

The exit code is 1 if a link is broken.`,
		Example: "  simroot device doctor --card 'modem:/dev/ttyUSB2' --platform https://sims.example --server broker.example:8883",
		Args:    cobra.NoArgs,
	}
	sim, platform, asJSON := addCard(c), addConnection(c), addJSON(c)
	flags := c.Flags()
	server := flags.String("server", "", "server to try a handshake with, HOST:PORT")
	serverCA := flags.String("server-ca", "", "file with the server's trust anchor, PEM; without it, the SIM's or the system's")
	identity := flags.String("identity", "", "identity of the SIM's pre-shared key; without it, the one that the SIM names")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o := doctor.Options{Platform: platform.url, Server: *server, Identity: *identity}
		if err := sim.examine(c, &o); err != nil {
			return err
		}
		var err error
		if platform.ca != "" {
			if o.PlatformRoots, err = api.LoadRoots(platform.ca); err != nil {
				return err
			}
		}
		if *serverCA != "" {
			if o.ServerRoots, err = api.LoadRoots(*serverCA); err != nil {
				return err
			}
		}
		return diagnose(c, o, *asJSON)
	}
	return c
}

// examine says in o which SIM is meant, and how it is opened.
func (f *cardFlags) examine(c *cobra.Command, o *doctor.Options) error {
	if f.uri == "" {
		return wrongUsage("which SIM? Give --card URI, for example --card pcsc:")
	}
	if f.aid != "" {
		aid, err := hex.DecodeString(f.aid)
		if err != nil {
			return wrongUsage("--aid %q is not hexadecimal", f.aid)
		}
		o.AIDs = [][]byte{aid}
	}
	o.Card = f.uri
	o.Open = func(ctx context.Context) (card.Conn, error) { return card.Open(ctx, f.uri) }
	if file := c.Flag(traceFlag); file != nil && file.Value.String() != "" {
		o.Record = func(c card.Conn) (card.Conn, error) { return trace.RecordFile(c, file.Value.String()) }
	}
	return nil
}

// diagnose examines, with progress on a terminal, and writes the report.
func diagnose(c *cobra.Command, o doctor.Options, asJSON bool) error {
	ended := func() {}
	if w := c.ErrOrStderr(); isTerminal(w) {
		o.Progress = func(link string, at, total int) { fmt.Fprintf(w, "\r\x1b[K%d of %d  %s", at+1, total, link) }
		ended = func() { fmt.Fprint(w, "\r\x1b[K") }
	}
	report := doctor.Examine(c.Context(), o)
	ended()
	if err := c.Context().Err(); err != nil {
		return fmt.Errorf("stopped before the end: %w", err)
	}
	var err error
	if asJSON {
		err = printJSON(c.OutOrStdout(), report)
	} else {
		err = report.Write(c.OutOrStdout())
	}
	if broken := report.Broken(); err == nil && broken != nil {
		return fmt.Errorf("the chain is broken at the %s", broken.Link)
	}
	return err
}
