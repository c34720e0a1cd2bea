package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/trace"
	"github.com/simroot/simroot/device"
)

func newDevice() *cobra.Command {
	c := &cobra.Command{Use: "device", Short: "Use a SIM from the device it sits in"}
	c.PersistentFlags().String(traceFlag, "", "record what passes between device and SIM in this file, without secrets")
	c.AddCommand(newDeviceOnboard(), newDeviceStatus(), newDeviceDoctor(), newDeviceCSR(), newDeviceTunnel())
	return c
}

// traceFlag records a session with the SIM (docs/tracing.md).
const traceFlag = "trace"

// cardFlags name the SIM that a command works with.
type cardFlags struct{ uri, aid string }

func addCard(c *cobra.Command) *cardFlags {
	var f cardFlags
	c.Flags().StringVar(&f.uri, "card", "", "the SIM: vsim:FILE, pcsc:, pcsc:READER NAME, modem:PORT[?baud=N], tcp:HOST:PORT or trace:FILE")
	c.Flags().StringVar(&f.aid, "aid", "", "look for the applet under this AID only, hexadecimal")
	return &f
}

// options checks the flags, and adds what they say to opts.
func (f *cardFlags) options(opts ...device.Option) ([]device.Option, error) {
	if f.uri == "" {
		return nil, wrongUsage("which SIM? Give --card URI, for example --card pcsc:")
	}
	if f.aid != "" {
		aid, err := hex.DecodeString(f.aid)
		if err != nil {
			return nil, wrongUsage("--aid %q is not hexadecimal", f.aid)
		}
		opts = append(opts, device.WithAID(aid))
	}
	return opts, nil
}

func (f *cardFlags) open(c *cobra.Command, opts ...device.Option) (*device.Device, error) {
	opts, err := f.options(opts...)
	if err != nil {
		return nil, err
	}
	sim, err := card.Open(c.Context(), f.uri)
	if err != nil {
		return nil, err
	}
	if file := c.Flag(traceFlag); file != nil && file.Value.String() != "" {
		if sim, err = trace.RecordFile(sim, file.Value.String()); err != nil {
			return nil, err
		}
	}
	d, err := device.New(c.Context(), sim, opts...)
	if err != nil {
		return nil, errors.Join(err, sim.Close())
	}
	return d, nil
}

// closeDevice gives a SIM back. What goes wrong then is told, but the work is done.
func closeDevice(c *cobra.Command, d *device.Device) {
	if err := d.Close(); err != nil {
		fmt.Fprintf(c.ErrOrStderr(), "simroot: close the SIM: %v\n", err)
	}
}

func newDeviceStatus() *cobra.Command {
	c := &cobra.Command{
		Use:   "status --card URI | --agent FILE",
		Short: "Tell what is on the SIM, or how its agent is doing",
		Example: `  simroot device status --card pcsc:
  simroot device status --agent /run/simroot-agent/status.json`,
		Args: cobra.NoArgs,
	}
	sim, asJSON := addCard(c), addJSON(c)
	agent := c.Flags().String("agent", "", "leave the SIM alone, and read the status file of an agent (onboard --watch --status FILE)")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case *agent != "" && sim.uri != "":
			return wrongUsage("--agent or --card, not both")
		case *agent != "":
			return showAgent(c.OutOrStdout(), *agent, *asJSON)
		}
		d, err := sim.open(c)
		if err != nil {
			return err
		}
		defer closeDevice(c, d)
		status, err := d.Status(c.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), status)
		}
		return printStatus(c.OutOrStdout(), status)
	}
	return c
}

func printStatus(w io.Writer, s device.Status) error {
	fmt.Fprintf(w, "SIM     %s\napplet  %s, Type %s\n", s.ICCID, s.AID, [...]string{"", "I", "II"}[s.Type])
	if c := s.Credential; c != nil {
		fmt.Fprintf(w, "uses    certificate of %s, key %s\n        valid %s to %s, serial %s\n", c.Subject, c.Key, day(c.NotBefore), day(c.NotAfter), c.Serial)
		for _, anchor := range c.Anchors {
			fmt.Fprintf(w, "trusts  %s\n", anchor)
		}
	} else if s.PSK != nil {
		fmt.Fprintf(w, "uses    pre-shared key %s, known to servers as %s\n", s.PSK.Key, orDash(s.PSK.Identity))
	} else if s.Type == 1 {
		fmt.Fprintln(w, "uses    no certificate yet: run simroot device onboard")
	} else {
		fmt.Fprintln(w, "uses    no pre-shared key yet: run simroot device onboard")
	}
	fmt.Fprintln(w)
	var rows [][]string
	for _, o := range s.Objects {
		state, size := "empty or off", "-"
		if o.Active {
			state = "active"
		}
		if o.Size > 0 {
			size = fmt.Sprint(o.Size)
		}
		rows = append(rows, []string{o.Kind, o.ID, orDash(o.Label), state, size})
	}
	return table(w, "KIND ID LABEL STATE BYTES", rows)
}
