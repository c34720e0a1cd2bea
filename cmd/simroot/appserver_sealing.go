package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/keyfile"
)

func newSealingKey() *cobra.Command {
	return &cobra.Command{
		Use:   "sealing-key FILE",
		Short: "Make the key that PSKs are sealed to, and print its public half",
		Long: `Makes a private key in FILE, for the --sealing-key of serve, and prints its public half,
for the --sealing-key of "simroot platform tokens create". If FILE is there already, its
public half is printed.`,
		Example: `  simroot platform tokens create broker --role appserver --sealing-key $(simroot appserver sealing-key broker.key)`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			private, err := readSealingKey(args[0])
			if errors.Is(err, fs.ErrNotExist) {
				private, err = makeSealingKey(args[0])
			}
			if err != nil {
				return err
			}
			defer clear(private)
			public, err := api.SealPublic(private)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%x\n", public)
			return err
		},
	}
}

func makeSealingKey(file string) ([]byte, error) {
	private, _, err := api.GenerateSealKey()
	if err != nil {
		return nil, err
	}
	return private, keyfile.Write(file, []byte(hex.EncodeToString(private)+"\n"))
}

// readSealingKey reads what makeSealingKey wrote.
func readSealingKey(file string) ([]byte, error) {
	text, err := keyfile.Read(file)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	private, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(private) != api.SealKeySize {
		return nil, fmt.Errorf("%s: want a private key in hexadecimal, as \"simroot appserver sealing-key\" makes it", file)
	}
	return private, nil
}
