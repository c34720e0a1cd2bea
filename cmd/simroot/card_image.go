package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
	"github.com/simroot/simroot/vsim/model"
	"github.com/simroot/simroot/vsim/profile"
)

// imageFlags are those of commands that open the image of a virtual SIM.
type imageFlags struct{ passphraseFile string }

func (f *imageFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.passphraseFile, "passphrase-file", "",
		"file with the passphrase of the image (or the passphrase itself in "+vsim.PassphraseVariable+")")
}

// maxPassphrase is the most that a passphrase may have, in bytes.
const maxPassphrase = 4096

// passphrase is the one that the user gave, nil if none.
func (f *imageFlags) passphrase() (image.Passphrase, error) {
	if f.passphraseFile == "" {
		return vsim.EnvironmentPassphrase(), nil
	}
	file, err := os.Open(f.passphraseFile)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxPassphrase+1))
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	b = bytes.TrimRight(b, "\r\n")
	if len(b) == 0 || len(b) > maxPassphrase {
		return nil, fmt.Errorf("passphrase file %s: want 1 to %d bytes in a line", f.passphraseFile, maxPassphrase)
	}
	return b, nil
}

// open opens an image, as the given real card or the one it was made as.
func (f *imageFlags) open(file, chip string, timing bool) (*vsim.Card, error) {
	p, err := f.passphrase()
	if err != nil {
		return nil, err
	}
	options := []vsim.Option{vsim.WithPassphrase(p), vsim.WithModel(chip)}
	if timing {
		options = append(options, vsim.WithTiming())
	}
	return vsim.Open(file, options...)
}

// listProfiles tells which card profiles there are.
func listProfiles(c *cobra.Command) error {
	var rows [][]string
	for _, name := range profile.Names() {
		p, err := profile.Named(name)
		if err != nil {
			return err
		}
		rows = append(rows, []string{name, fmt.Sprint(p.Type), p.Description})
	}
	return table(c.OutOrStdout(), "NAME TYPE FOR", rows)
}

// listModels tells as which real cards a virtual SIM can behave.
func listModels(c *cobra.Command) error {
	var rows [][]string
	for _, m := range model.Models {
		rows = append(rows, []string{m.Name, m.Title, m.Source})
	}
	return table(c.OutOrStdout(), "NAME CARD SOURCE", rows)
}
