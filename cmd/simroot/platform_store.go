package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// addStore gives a command the flag for a PostgreSQL database. The function returns its
// connection string, "" for none; it is a secret if it holds a password.
func addStore(c *cobra.Command) func() (string, error) {
	given := c.Flags().String("store", "", `PostgreSQL database instead of SQLite: postgres://USER@HOST/DATABASE or file:FILE that holds it (or SIMROOT_STORE);
a password is better in FILE, PGPASSFILE or PGPASSWORD than on the command line`)
	return func() (string, error) {
		store := *given
		if store == "" {
			store = os.Getenv("SIMROOT_STORE")
		}
		file, inFile := strings.CutPrefix(store, "file:")
		if !inFile {
			return store, nil
		}
		text, err := os.ReadFile(file)
		return strings.TrimSpace(string(text)), err
	}
}
