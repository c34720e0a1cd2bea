package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/internal/platform"
)

func newPlatformBackup() *cobra.Command {
	c := &cobra.Command{
		Use:   "backup --data DIR --out FILE",
		Short: "Copy the platform's database while it serves",
		Long: `Writes a copy of the database to FILE: the state after one commit, examined and on
disk when the command ends. The platform may be serving.

The keys in DIR/ca and DIR/keys are not in it. They change seldom: keep a copy of
DIR/ca, DIR/keys and DIR/ca.pem apart from the backups, since whoever has both has
the platform. Rows in a PostgreSQL database are backed up by its own means.`,
		Example: `  simroot platform backup --data /var/lib/simroot --out /backup/simroot-$(date +%F).db`,
		Args:    cobra.NoArgs,
	}
	data := c.Flags().String("data", "", "the platform's folder")
	out := c.Flags().String("out", "", "file to write, which must not exist")
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		switch {
		case *data == "":
			return wrongUsage("which data? Give --data DIR")
		case *out == "":
			return wrongUsage("where to? Give --out FILE")
		}
		if err := platform.Backup(c.Context(), *data, *out); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]string{"backup": *out})
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "Backed up the database to %s, without the keys in %s and %s\n", *out, filepath.Join(*data, "ca"), filepath.Join(*data, "keys"))
		return err
	}
	return c
}

func newPlatformRestore() *cobra.Command {
	c := &cobra.Command{
		Use:   "restore --data DIR (--from FILE | --store DATABASE)",
		Short: "Bring the platform's database back from a backup",
		Long: `Puts the backup FILE in the place of the database in DIR, which is kept beside it.
The platform must not be running, and DIR must hold the keys.

Rows in a PostgreSQL database are brought back with pg_restore, or to a point in
time; then this command, with --store and without --from, does what is left to do.

Time goes back: application servers notice, and fetch everything anew; SIMs that got
a credential since the backup get another at their next visit. Revocations since the
backup must be made again.`,
		Example: `  simroot platform restore --data /var/lib/simroot --from /backup/simroot-2026-11-24.db`,
		Args:    cobra.NoArgs,
	}
	data := c.Flags().String("data", "", "the platform's folder")
	from := c.Flags().String("from", "", "file that backup has written")
	rows := addStore(c)
	asJSON := addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		connection, err := rows()
		switch {
		case err != nil:
			return err
		case *data == "":
			return wrongUsage("which data? Give --data DIR")
		case *from == "" && connection == "":
			return wrongUsage("from where? Give --from FILE, or --store DATABASE after pg_restore")
		case *from != "" && connection != "":
			return wrongUsage("--from is for SQLite, --store for PostgreSQL: give one of them")
		}
		kept, err := platform.Restore(c.Context(), *data, *from, platform.Options{Store: connection})
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]string{"restored": *from, "kept": kept})
		}
		fmt.Fprintln(c.OutOrStdout(), "Restored. Application servers will fetch everything anew; make revocations since the backup again.")
		if kept != "" {
			fmt.Fprintf(c.OutOrStdout(), "The database that was there: %s\n", kept)
		}
		return nil
	}
	return c
}
