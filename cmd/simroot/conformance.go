package main

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/conformance"
	"github.com/simroot/simroot/iotsafe"
)

// conformanceFlags are what the command line says of the tests.
type conformanceFlags struct {
	only, pskID, pskHex, junit string
	destructive, yes, list     bool
}

func newConformance() *cobra.Command {
	c := &cobra.Command{
		Use:   "conformance --card URI",
		Short: "Test whether a card speaks IoT SAFE",
		Long: `Runs one test for each statement of the IoT SAFE interface against any card, and
reports what passed, failed (with the commands and answers), or was skipped, and why.
docs/conformance.md lists and explains the tests.

Nothing on the card changes unless --destructive allows tests that make key pairs and
put public keys into containers that a device may fill; it asks before that on a terminal.

The exit code is 1 if a test failed.`,
		Args: cobra.NoArgs,
	}
	sim, asJSON := addCard(c), addJSON(c)
	var f conformanceFlags
	flags := c.Flags()
	flags.StringVar(&f.only, "only", "", "run the tests whose names match this regular expression")
	flags.BoolVar(&f.list, "list", false, "list the tests, and do not touch a card")
	flags.StringVar(&f.junit, "junit", "", "write the report as JUnit XML into this file too")
	flags.BoolVar(&f.destructive, "destructive", false, "allow tests that overwrite keys on the card")
	flags.BoolVar(&f.yes, "yes", false, "do not ask about --destructive")
	flags.StringVar(&f.pskID, "psk-id", "", "a secret key of the card whose value --psk-hex tells, hexadecimal")
	flags.StringVar(&f.pskHex, "psk-hex", "", "its value: a test secret, used to compute what the card should answer, never sent")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := f.options()
		if err != nil {
			return err
		}
		if f.list {
			return listTests(c.OutOrStdout(), o.Only, *asJSON)
		}
		if sim.uri == "" {
			return wrongUsage("which card? Give --card URI, for example --card pcsc:")
		}
		if o.AID, err = hex.DecodeString(sim.aid); err != nil {
			return wrongUsage("--aid %q is not hexadecimal", sim.aid)
		}
		if f.destructive && !f.yes {
			if err := askAboutKeys(c.InOrStdin(), c.ErrOrStderr(), sim.uri); err != nil {
				return err
			}
		}
		return runTests(c, sim.uri, o, f.junit, *asJSON)
	}
	return c
}

// options are what the flags mean for the kit.
func (f conformanceFlags) options() (o conformance.Options, err error) {
	o.Destructive = f.destructive
	if f.only != "" {
		if o.Only, err = regexp.Compile(f.only); err != nil {
			return o, wrongUsage("--only: %v", err)
		}
	}
	if (f.pskID == "") != (f.pskHex == "") {
		return o, wrongUsage("--psk-id and --psk-hex go together")
	}
	if f.pskID != "" {
		if o.SecretID, err = iotsafe.ParseID(f.pskID); err != nil {
			return o, wrongUsage("--psk-id: %v", err)
		}
		if o.Secret, err = hex.DecodeString(f.pskHex); err != nil {
			return o, wrongUsage("--psk-hex is not hexadecimal")
		}
	}
	return o, nil
}

// runTests tests a card and reports.
func runTests(c *cobra.Command, uri string, o conformance.Options, junit string, asJSON bool) (err error) {
	opened, err := card.Open(c.Context(), uri)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	ended := func() {}
	if w := c.ErrOrStderr(); isTerminal(w) {
		o.Progress = func(t conformance.Test, at, total int) { fmt.Fprintf(w, "\r\x1b[K%d of %d  %s", at+1, total, t.ID) }
		ended = func() { fmt.Fprint(w, "\r\x1b[K") }
	}
	report, failed := conformance.Run(c.Context(), opened, o)
	ended()
	if failed != nil && len(report.Results) == 0 {
		return failed
	}
	if asJSON {
		err = printJSON(c.OutOrStdout(), report)
	} else {
		err = report.WriteText(c.OutOrStdout())
	}
	if junit != "" {
		err = errors.Join(err, writeJUnit(junit, report))
	}
	switch n := report.Count(conformance.Failed); {
	case err != nil || failed != nil:
		return errors.Join(err, failed)
	case n > 0:
		return fmt.Errorf("the card fails %d of %d tests", n, len(report.Results))
	}
	return nil
}

func writeJUnit(file string, r conformance.Report) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(r.WriteJUnit(f), f.Close())
}

// askAboutKeys lets a person at a terminal say yes or no.
func askAboutKeys(in io.Reader, out io.Writer, uri string) error {
	if !isTerminal(in) {
		return wrongUsage("--destructive overwrites keys on the card: where nobody can be asked, give --yes too")
	}
	fmt.Fprintf(out, "This overwrites key pairs and public keys on %s that a device may change. Go on? [y/N] ", uri)
	answer, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("not done: without --destructive the card is tested without changing it")
}

// isTerminal tells whether a stream of the process is one that a person sits at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// listTests writes the tests that only chooses.
func listTests(w io.Writer, only *regexp.Regexp, asJSON bool) error {
	type listed struct {
		ID          string             `json:"id"`
		Title       string             `json:"title"`
		Chapter     string             `json:"chapter"`
		Needs       []conformance.Need `json:"needs,omitempty"`
		Destructive bool               `json:"destructive,omitempty"`
	}
	chosen := []listed{}
	for _, t := range conformance.Tests() {
		if only == nil || only.MatchString(t.ID) {
			chosen = append(chosen, listed{t.ID, t.Title, t.Chapter, t.Needs, t.Destructive})
		}
	}
	if asJSON {
		return printJSON(w, chosen)
	}
	for _, t := range chosen {
		mark := ""
		if t.Destructive {
			mark = " (--destructive)"
		}
		if _, err := fmt.Fprintf(w, "%-28s %s%s\n", t.ID, t.Title, mark); err != nil {
			return err
		}
	}
	return nil
}
