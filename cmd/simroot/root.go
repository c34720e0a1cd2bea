package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/image"

	// The kinds of cards that --card takes.
	_ "github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/card/pcsc"
	_ "github.com/simroot/simroot/card/tcp"
	"github.com/simroot/simroot/vsim"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "simroot",
		Short: "The SIM as root of trust for IoT devices (GSMA IoT SAFE)",
		Long: `simroot makes the SIM the root of trust of an IoT device: the keys are made in
the SIM and never leave it, the platform gives it its credential over the air at
switch-on, and application servers know at every moment which SIMs are good.

Start with:  simroot demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newDemo(), newCard(), newDevice(), newPlatform(), newAppServer(), newConformance(), newExplain())
	asUsage(root)
	completeFleets(root)
	return root
}

// asUsage makes wrong flags, arguments and verbs usage errors, all down the tree.
func asUsage(c *cobra.Command) {
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	if c.HasSubCommands() && c.RunE == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return wrongUsage("%s has no verb %q", c.CommandPath(), args[0])
			}
			return c.Help()
		}
	} else if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
}

// hintFor says what a person can do about an error, where the error itself does not.
func hintFor(err error) string {
	switch {
	case errors.Is(err, iotsafe.ErrNoApplet):
		return "The SIM carries no IoT SAFE applet under the known AIDs. Ask its issuer, or name another with --aid."
	case errors.Is(err, image.ErrNoPassphrase):
		return "Give the passphrase in " + vsim.PassphraseVariable + ", or, to simroot card, in a file with --passphrase-file."
	case errors.Is(err, pcsc.ErrNoService):
		return "Install and start the PC/SC daemon: apt-get install pcscd libpcsclite1; pcscd"
	case errors.Is(err, device.ErrNoCredential):
		return "Bring the SIM its first credential: simroot device onboard --card URI --platform URL --ca FILE"
	case errors.Is(err, device.ErrNoIdentity):
		return "Give it with --identity; the SIM names it from its next credential on."
	case api.HasCode(err, api.CodeUnauthorized):
		return "Give a valid token with --token-file or in SIMROOT_TOKEN; an administrator makes one with: simroot platform tokens create"
	case api.HasCode(err, api.CodeUnknownSIM):
		return "Import the batch that the SIM's issuer delivered: simroot platform sims import FILE --fleet NAME"
	}
	return ""
}
