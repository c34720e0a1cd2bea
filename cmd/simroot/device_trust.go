package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/device"
)

// trustFlags say what a device trusts, and what part the SIM has in it.
type trustFlags struct {
	serverCA    string
	checkServer bool
	simRandom   bool
	cache       string
}

func addTrust(c *cobra.Command) *trustFlags {
	var f trustFlags
	c.Flags().StringVar(&f.serverCA, "server-ca", "", "file with the servers' trust anchors, PEM; without it, the SIM's or the system's")
	c.Flags().BoolVar(&f.checkServer, "check-server", false, "have the SIM check certificates of servers too, with an anchor of its own")
	c.Flags().BoolVar(&f.simRandom, "sim-random", false, "mix random bytes of the SIM with the host's")
	c.Flags().StringVar(&f.cache, "cache", "", "folder that keeps what is on the SIM, for a quicker start (with --server-ca)")
	return &f
}

// options are the flags as the device takes them.
func (f *trustFlags) options() ([]device.Option, error) {
	var opts []device.Option
	if f.serverCA != "" {
		roots, err := api.LoadRoots(f.serverCA)
		if err != nil {
			return nil, err
		}
		opts = append(opts, device.WithRoots(roots))
	}
	if f.checkServer {
		opts = append(opts, device.WithServerCheck())
	}
	if f.simRandom {
		opts = append(opts, device.WithSIMRandom())
	}
	if f.cache != "" {
		if f.serverCA == "" {
			return nil, wrongUsage("--cache saves nothing without --server-ca: trust anchors are always read from the SIM")
		}
		if err := os.MkdirAll(f.cache, 0o700); err != nil {
			return nil, err
		}
		opts = append(opts, device.WithCache(f.cache))
	}
	return opts, nil
}
