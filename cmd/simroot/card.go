package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/tcp"
	"github.com/simroot/simroot/device"
	"github.com/simroot/simroot/internal/issuer"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/model"
	"github.com/simroot/simroot/vsim/modem"
	"github.com/simroot/simroot/vsim/reader"
)

func newCard() *cobra.Command {
	c := &cobra.Command{Use: "card", Short: "Virtual SIMs: make one, run it as a card, look into it; and the readers of real ones"}
	c.AddCommand(newCardNew(), newCardRun(), newCardShow(), newCardReaders())
	return c
}

func newCardNew() *cobra.Command {
	c := &cobra.Command{
		Use:   "new --iccid N --out FILE [--profile NAME|FILE.yaml] [--card NAME] [--passphrase-file FILE] [--keys FILE --transport-key HEX]",
		Short: "Make a virtual SIM with fresh keys",
		Long: `Makes a virtual SIM in one image file, with fresh SCP03 keys. --keys adds its keys
to a batch file, as a SIM issuer delivers them: sealed to the transport key of the
platform that is to manage it (simroot platform transport-key).

--profile says what the SIM is delivered with, --card which real card it behaves as; list
in their place tells which there are. docs/profiles.md tells of both, and how to write a
profile of one's own. With a passphrase, the image is enciphered under it.`,
		Args: cobra.NoArgs,
	}
	flags := c.Flags()
	profile := flags.String("profile", "", "card profile by name, list, or a .yaml file")
	kind := flags.Int("type", 0, "applet type, 1 or 2: short for --profile common or type2")
	chip := flags.String("card", "", "real card to behave as, or list")
	var at imageFlags
	at.add(c)
	iccid := flags.String("iccid", "", "the SIM's number, 18 to 20 digits")
	protocol := flags.String("atr", "t0", "protocol that the card offers readers: t0 or t1")
	out := flags.String("out", "", "the image file to make")
	keys := flags.String("keys", "", "batch file to add the SIM's keys to")
	transport := flags.String("transport-key", "", "the platform's transport key, hexadecimal")
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case *profile == "list":
			return listProfiles(c)
		case *chip == "list":
			return listModels(c)
		}
		name, err := profileName(*profile, *kind)
		if err != nil {
			return err
		}
		if *out == "" || *iccid == "" {
			return wrongUsage("want --iccid N and --out FILE")
		}
		number, err := card.ParseICCID(*iccid)
		if err != nil {
			return usageError{err}
		}
		sealTo, err := hex.DecodeString(*transport)
		if err != nil || (*keys != "") != (len(sealTo) == api.SealKeySize) {
			return wrongUsage("--keys FILE and --transport-key (%d bytes in hexadecimal) go together: SIM keys leave only sealed", api.SealKeySize)
		}
		atr, known := map[string]string{"t0": "uicc", "t1": "uicc-t1"}[*protocol]
		if !known {
			return wrongUsage("--atr %s: want t0 or t1", *protocol)
		}
		passphrase, err := at.passphrase()
		if err != nil {
			return err
		}
		state, err := vsim.Profile(name, string(number))
		if err != nil {
			return err
		}
		if *kind != 0 && *kind != state.Applet.Type {
			return wrongUsage("--profile %s is not of Type %d", name, *kind)
		}
		if *chip != "" {
			m, err := model.Named(*chip)
			if err != nil {
				return usageError{err}
			}
			state.Model = m.Name
		}
		state.ATR = atr
		made, err := vsim.Create(*out, state, vsim.WithPassphrase(passphrase))
		if err != nil {
			return err
		}
		if err := made.Close(); err != nil {
			return err
		}
		if *keys != "" {
			if err := api.AppendBatch(*keys, sealTo, issuer.BatchEntry(state)); err != nil {
				return fmt.Errorf("%s is made, but its keys are not in the batch: %w", *out, err)
			}
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Made SIM %s, profile %s, in %s\n", number, name, *out)
		return err
	}
	return c
}

// profileName is what --profile says, or else --type.
func profileName(profile string, kind int) (string, error) {
	byType := map[int]string{0: "common", 1: "common", 2: "type2"}[kind]
	switch {
	case byType == "":
		return "", wrongUsage("--type %d: want 1 or 2", kind)
	case profile == "":
		return byType, nil
	}
	return profile, nil
}

func newCardRun() *cobra.Command {
	c := &cobra.Command{
		Use:   "run FILE (--reader [HOST:PORT] | --modem LINK [--personality NAME] | --listen HOST:PORT) [--card NAME] [--timing]",
		Short: "Run a virtual SIM as a card in a virtual PC/SC reader, in a virtual modem, or on a TCP port",
		Long: `Runs a virtual SIM until it is told to stop, and puts it

  --reader   into vpcd's virtual PC/SC reader
  --modem    into a virtual AT modem, which programs open at LINK
  --listen   on a TCP port, for tcp: card URIs

Real modems have their peculiarities; --personality gives the virtual one those of a
kind of them. --personality list tells which there are.

The SIM behaves as the real card that it was made to, or as the one that --card names
(--card list), and with --timing takes as long as that one for its answers.`,
		Args: cobra.RangeArgs(0, 2),
	}
	vpcd := c.Flags().String("reader", "", "put the SIM into vpcd's virtual reader at HOST:PORT")
	c.Flags().Lookup("reader").NoOptDefVal = reader.DefaultAddress
	listen := c.Flags().String("listen", "", "serve the SIM to tcp: clients on HOST:PORT")
	link := c.Flags().String("modem", "", "put the SIM into a modem; LINK is to be its device")
	chip := c.Flags().String("card", "", "real card to behave as, in the place of the image's, or list")
	timing := c.Flags().Bool("timing", false, "take as long for answers as the real card")
	var at imageFlags
	at.add(c)
	personality := c.Flags().String("personality", "", "what the modem does otherwise than specified; list tells the names")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *personality == "list" {
			return listPersonalities(c)
		}
		if *chip == "list" {
			return listModels(c)
		}
		kind, err := modem.Lookup(*personality)
		if err != nil {
			return usageError{err}
		}
		if len(args) == 0 {
			return wrongUsage("want the image FILE of a virtual SIM")
		}
		places := 0
		for _, place := range []string{*vpcd, *listen, *link} {
			if place != "" {
				places++
			}
		}
		if places != 1 {
			return wrongUsage("want one of --reader, --modem LINK and --listen HOST:PORT")
		}
		if *personality != "" && *link == "" {
			return wrongUsage("--personality is of a modem: it goes with --modem LINK")
		}
		if len(args) == 2 { // the value of --reader is optional, and then stands apart
			if *vpcd == "" {
				return wrongUsage("what is %q for?", args[1])
			}
			*vpcd = args[1]
		}
		sim, err := at.open(args[0], *chip, *timing)
		if err != nil {
			return err
		}
		if *link != "" {
			told := func(device string) {
				fmt.Fprintf(c.OutOrStdout(), "SIM of %s is in the modem at %s (%s), personality %s\n", args[0], *link, device, kind.Name)
			}
			return errors.Join(untilTold(c, modem.Run(c.Context(), *link, sim, kind, told)), sim.Close())
		}
		if *vpcd != "" {
			fmt.Fprintf(c.OutOrStdout(), "SIM of %s goes into the reader at %s\n", args[0], *vpcd)
			return errors.Join(untilTold(c, reader.Run(c.Context(), *vpcd, sim)), sim.Close())
		}
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			return errors.Join(err, sim.Close())
		}
		fmt.Fprintf(c.OutOrStdout(), "SIM of %s is at tcp:%s\n", args[0], l.Addr())
		return errors.Join(untilTold(c, tcp.Serve(c.Context(), l, sim)), sim.Close())
	}
	return c
}

// listPersonalities tells what kinds of modems there are.
func listPersonalities(c *cobra.Command) error {
	var rows [][]string
	for _, p := range modem.Personalities() {
		rows = append(rows, []string{p.Name, p.Text, p.Source})
	}
	return table(c.OutOrStdout(), "NAME BEHAVIOUR SOURCE", rows)
}

// untilTold forgives an error that comes from being told to stop.
func untilTold(c *cobra.Command, err error) error {
	if c.Context().Err() != nil {
		return nil
	}
	return err
}

func newCardShow() *cobra.Command {
	c := &cobra.Command{Use: "show FILE", Short: "Show what a virtual SIM holds, without its secrets", Args: cobra.ExactArgs(1)}
	asJSON := addJSON(c)
	var at imageFlags
	at.add(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		sim, err := at.open(args[0], "", false)
		if err != nil {
			return err
		}
		defer sim.Close()
		d, err := device.New(c.Context(), sim)
		if err != nil {
			return err
		}
		status, err := d.Status(c.Context())
		if err != nil {
			return err
		}
		made := sim.State()
		if *asJSON {
			return printJSON(c.OutOrStdout(), struct {
				Profile string `json:"profile,omitempty"`
				Card    string `json:"card,omitempty"`
				device.Status
			}{made.Profile, made.Model, status})
		}
		fmt.Fprintf(c.OutOrStdout(), "profile %s\ncard    %s\n", orDash(made.Profile), orDash(made.Model))
		return printStatus(c.OutOrStdout(), status)
	}
	return c
}
