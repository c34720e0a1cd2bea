package main

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/card/pcsc"
)

func newCardReaders() *cobra.Command {
	c := &cobra.Command{
		Use:   "readers",
		Short: "List the PC/SC card readers, and what is in them",
		Long: `Lists the card readers that the PC/SC service knows, and the state of each:

  empty      no card is in it
  present    a card is in it
  in use     as present, and a program has opened it; others may too
  exclusive  as present, and a program has it for itself alone
  mute       a card is in it that does not answer: the wrong way round, or damaged

A reader's name, or a part of it that no other has, goes into a card URI.`,
		Example: "  simroot card readers\n  simroot device doctor --card 'pcsc:READER NAME'",
		Args:    cobra.NoArgs,
	}
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		readers, err := pcsc.Readers(c.Context())
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), listedReaders(readers))
		}
		if len(readers) == 0 {
			_, err := fmt.Fprintln(c.OutOrStdout(), "No reader: plug one in. USB readers need a driver (apt-get install libccid).")
			return err
		}
		var rows [][]string
		for _, r := range listedReaders(readers) {
			rows = append(rows, []string{r.Name, string(r.State), orDash(strings.Join(r.Protocols, ",")), orDash(r.ATR)})
		}
		return table(c.OutOrStdout(), "READER STATE PROTOCOL ATR", rows)
	}
	return c
}

// listedReader is a reader for scripts.
type listedReader struct {
	Name      string     `json:"name"`
	State     pcsc.State `json:"state"`
	Protocols []string   `json:"protocols,omitempty"`
	ATR       string     `json:"atr,omitempty"`
}

func listedReaders(readers []pcsc.Reader) []listedReader {
	listed := []listedReader{}
	for _, r := range readers {
		l := listedReader{Name: r.Name, State: r.State, ATR: strings.ToUpper(hex.EncodeToString(r.ATR))}
		for _, p := range r.Protocols {
			l.Protocols = append(l.Protocols, fmt.Sprintf("T=%d", p))
		}
		listed = append(listed, l)
	}
	return listed
}
