package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// addJSON gives a command its --json flag.
func addJSON(c *cobra.Command) *bool {
	return c.Flags().Bool("json", false, "write JSON for scripts")
}

// printJSON writes v as indented JSON.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows in columns under a heading.
func table(w io.Writer, heading string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(heading, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	return t.Flush()
}

// day is a date as people read it, or a dash.
func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

// orDash stands in for an empty cell.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// progressOn tells how far long work has come, on one line of a terminal, and nothing elsewhere. An
// empty text takes the line away.
func progressOn(w io.Writer, terminal bool) func(string) {
	if !terminal {
		return func(string) {}
	}
	return func(text string) { fmt.Fprint(w, "\r\x1b[K"+text) }
}
