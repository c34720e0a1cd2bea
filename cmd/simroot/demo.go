package main

import (
	"github.com/spf13/cobra"

	"github.com/simroot/simroot/internal/demo"
)

func newDemo() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the whole path once, on this machine, with nothing but this binary",
		Long: `Makes three virtual SIMs, starts a platform and an application server with an MQTT
broker, switches the devices on, publishes with keys that stay in the SIMs, and revokes
one SIM. Every step is checked. Uses a temporary folder and loopback only.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return demo.Run(c.Context(), c.OutOrStdout()) },
	}
}
