package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/explain"
)

func newExplain() *cobra.Command {
	c := &cobra.Command{
		Use:   "explain (HEX... | --file FILE | -)",
		Short: "Tell in words what commands and answers of a SIM say",
		Long: `Tells in words what commands to a SIM and its answers say: those of the IoT SAFE
applet, of GlobalPlatform and of the UICC. It needs no SIM.

  simroot explain 812A00010D840101A1010391020001920104
  simroot explain 6985
  simroot explain --answer-to 01CB010000 C10784010160014A01009000
  simroot explain '> 8184000008 < 0102030405060708 9000'
  simroot explain --file session.txt

Digits are hexadecimal, blanks do not matter. Commands are marked with > and answers with
<; without a mark, what looks like a command is one. Lines of a file may have remarks
in parentheses or behind #, and an indented line goes on with the one before. A trace,
as --trace of other commands records it, is such a file.

What may be secret is told by its length alone; --show-secrets shows it.`,
		Args: cobra.ArbitraryArgs,
	}
	flags := c.Flags()
	file := flags.String("file", "", "explain the commands and answers in this file, or recorded trace; - is standard input")
	answerTo := flags.String("answer-to", "", "the command that HEX answers, hexadecimal")
	secrets := flags.Bool("show-secrets", false, "show secrets, derived and random bytes, and what is not known")
	asJSON := flags.Bool("json", false, "write JSON for scripts, one object per line")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 && args[0] == "-" && *file == "" {
			*file, args = "-", nil
		}
		if (*file == "") == (len(args) == 0) {
			return wrongUsage("want either HEX, --file FILE or - for standard input")
		}
		if *answerTo != "" && *file != "" {
			return wrongUsage("--answer-to goes with HEX")
		}
		s := explain.New(explain.Options{ShowSecrets: *secrets})
		show := explanations(c.OutOrStdout(), *asJSON)
		if *file != "" {
			text, err := openText(c.InOrStdin(), *file)
			if err != nil {
				return err
			}
			defer text.Close()
			return explainAll(s, text, show)
		}
		text := strings.Join(args, " ")
		if *answerTo == "" {
			return asUsageError(explainAll(s, strings.NewReader(text), show))
		}
		return asUsageError(explainAnswer(s, *answerTo, text, show))
	}
	return c
}

// explanations writes one explanation after the other.
func explanations(w io.Writer, asJSON bool) func(explain.Explanation) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return func(x explain.Explanation) error { return e.Encode(x) }
	}
	return func(x explain.Explanation) error {
		_, err := io.WriteString(w, x.String())
		return err
	}
}

func openText(stdin io.Reader, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(stdin), nil
	}
	return os.Open(name)
}

func explainAll(s *explain.Session, text io.Reader, show func(explain.Explanation) error) error {
	empty := true
	for step, err := range explain.Read(text) {
		if err != nil {
			return err
		}
		empty = false
		if err := show(s.Explain(step)); err != nil {
			return err
		}
	}
	if empty {
		return fmt.Errorf("there is no command and no answer")
	}
	return nil
}

func explainAnswer(s *explain.Session, command, answer string, show func(explain.Explanation) error) error {
	for _, step := range []struct {
		kind explain.Kind
		text string
	}{{explain.Command, command}, {explain.Answer, strings.TrimLeft(answer, "< ")}} {
		b, err := hex.DecodeString(strings.ReplaceAll(step.text, " ", ""))
		if err != nil {
			return fmt.Errorf("%.40q is not hexadecimal: %w", step.text, err)
		}
		if err := show(s.Explain(explain.Step{Kind: step.kind, Bytes: b})); err != nil {
			return err
		}
	}
	return nil
}

// asUsageError blames the command line for what came with it.
func asUsageError(err error) error {
	if err != nil {
		return usageError{err}
	}
	return nil
}
