package main

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform"
	"github.com/simroot/simroot/internal/platform/keyfile"
)

// addPassphrase gives a command the flag for the passphrase of the key files.
func addPassphrase(c *cobra.Command) func() ([]byte, error) {
	file := c.Flags().String("passphrase-file", "", "file with the passphrase that the key files in the folder are encrypted under")
	return func() ([]byte, error) {
		if *file == "" {
			return nil, nil
		}
		text, err := keyfile.Read(*file)
		if err != nil {
			return nil, err
		}
		if text = bytes.TrimRight(text, "\r\n"); len(text) == 0 {
			return nil, fmt.Errorf("%s is empty: it is to hold a passphrase", *file)
		}
		return text, nil
	}
}

// keyFlags say where the keys of a new platform are.
type keyFlags struct {
	passphrase func() ([]byte, error)
	kek, ca    *string
}

func addKeys(c *cobra.Command) keyFlags {
	return keyFlags{
		passphrase: addPassphrase(c),
		kek:        c.Flags().String("kek", "", "URI of a new platform's key-encryption key, such as pkcs11:…; without it, a file in the folder"),
		ca:         c.Flags().String("ca-key", "", "URI of a new platform's CA key, such as pkcs11:…; without it, a file in the folder"),
	}
}

// set puts what the flags say into the options.
func (k keyFlags) set(o *platform.Options, initialized bool) (err error) {
	if initialized && (*k.kek != "" || *k.ca != "") {
		return wrongUsage("--kek and --ca-key are for a new platform; to change the key-encryption key of one that is there: simroot platform kek rotate")
	}
	o.KEK, o.CAKey = *k.kek, *k.ca
	o.Passphrase, err = k.passphrase()
	return err
}

func newPlatformInit() *cobra.Command {
	c := &cobra.Command{
		Use:   "init --data DIR",
		Short: "Make a new platform, and print its first admin token, this once",
		Long: `Makes the CA, the keys and the database of a new platform in DIR, which must be empty
or not exist. Without further flags the keys are in files of DIR that only their owner
can read.`,
		Example: `  simroot platform init --data /var/lib/simroot
  simroot platform init --data /var/lib/simroot --passphrase-file /run/credentials/simroot/passphrase
  simroot platform init --data /var/lib/simroot \
    --ca-key 'pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=simroot;id=01;object=ca?pin-source=/etc/simroot/pin' \
    --kek 'pkcs11:module-path=/usr/lib/softhsm/libsofthsm2.so;token=simroot;id=02;object=kek?pin-source=/etc/simroot/pin'`,
		Args: cobra.NoArgs,
	}
	data := c.Flags().String("data", "", "folder for keys and, without --store, the database")
	rows, keys := addStore(c), addKeys(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *data == "" {
			return wrongUsage("which data? Give --data DIR")
		}
		connection, err := rows()
		if err != nil {
			return err
		}
		o := platform.Options{Store: connection}
		if err := keys.set(&o, false); err != nil {
			return err
		}
		token, err := platform.Init(*data, o)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Initialised %s\nAdmin token, shown this once: %s\n", *data, token)
		return err
	}
	return c
}

func newKEK() *cobra.Command {
	c := &cobra.Command{
		Use:   "kek",
		Short: "The key-encryption key, under which secrets are stored: rotate, add, status",
		Long: `The platform stores the keys of SIMs and pre-shared keys under a key-encryption key.
Rotate and add need the platform's folder, and work while it is served: it hears of the
change within seconds. Status asks a running platform.`,
	}
	c.AddCommand(
		newKEKAdd("rotate", "Store secrets under a new key from now on, and move those there are", true),
		newKEKAdd("add", "Make a further key known: on every node, before one of them rotates to it", false),
		newKEKStatus())
	return c
}

func newKEKAdd(verb, short string, current bool) *cobra.Command {
	c := &cobra.Command{
		Use: verb + " --data DIR [--kek URI]", Short: short, Args: cobra.NoArgs,
		Example: "  simroot platform kek " + verb + " --data /var/lib/simroot\n  simroot platform kek " + verb + " --data /var/lib/simroot --kek 'pkcs11:token=simroot;id=03;object=kek-3?pin-source=/etc/simroot/pin'",
	}
	data := c.Flags().String("data", "", "the platform's folder")
	uri := c.Flags().String("kek", "", "URI of the key: pkcs11:…, awskms:…, cloudkms:…, or file:NAME in the folder's keys; without it, a new file")
	pass := addPassphrase(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *data == "" {
			return wrongUsage("which data? Give --data DIR")
		}
		passphrase, err := pass()
		if err != nil {
			return err
		}
		id, name, err := platform.AddKEK(*data, *uri, current, platform.Options{Passphrase: passphrase})
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "Key-encryption key %s (%s): see simroot platform kek status\n", id, name)
		return err
	}
	return c
}

func newKEKStatus() *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Tell how many secrets are under which key", Args: cobra.NoArgs}
	n, asJSON := addAdministration(c), addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return n.with(func(client *api.Client) error {
			status, err := client.KEKs(c.Context())
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), status)
			}
			var rows [][]string
			for _, k := range status.Keys {
				state := "older"
				switch {
				case k.Current:
					state = "current"
				case k.Missing:
					state = "missing"
				}
				rows = append(rows, []string{orDash(k.ID), state, strconv.Itoa(k.Secrets), orDash(k.Name)})
			}
			return table(c.OutOrStdout(), "ID STATE SECRETS KEY", rows)
		})
	}
	return c
}
