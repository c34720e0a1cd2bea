package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform"
)

func newAudit() *cobra.Command {
	c := newList("audit", "List every state change: who, what, why", "SEQ TIME ACTOR ACTION SUBJECT BEFORE AFTER NOTE",
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.AuditEntry, error] {
			return client.Audit(c.Context())
		},
		func(e api.AuditEntry) []string {
			return []string{number(e.Seq), day(e.Time), e.Actor, e.Action, e.Subject, orDash(e.Before), orDash(e.After), e.Note}
		})
	c.AddCommand(newAuditVerify())
	return c
}

func newAuditVerify() *cobra.Command {
	c := &cobra.Command{
		Use:   "verify [--keep FILE] [--data DIR]",
		Short: "Check that nobody has altered, removed or moved an entry of the audit log",
		Long: `Reads the whole audit log, whose entries are a chain, and checks that it leads over
the head that the platform keeps outside of its database. With --keep it leads over the
head in FILE too, which is then replaced by the last one: kept on another machine, it
shows also what somebody with the platform's folder in hand has done.

With --data the check is made in the platform's folder, without the platform.`,
		Example: `  simroot platform audit verify --keep /var/lib/auditor/head.json
  simroot platform audit verify --data /var/lib/simroot`,
		Args: cobra.NoArgs,
	}
	asJSON, rows, pass := addJSON(c), addStore(c), addPassphrase(c)
	keep := c.Flags().String("keep", "", "file with the head of the last check; made if it is missing")
	data := c.Flags().String("data", "", "the platform's folder; on SQLite the platform must not be running")
	n := addAdministration(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		kept, err := readHead(*keep)
		if err != nil {
			return err
		}
		var head api.AuditHead
		if *data == "" {
			err = n.with(func(client *api.Client) (err error) {
				head, err = client.VerifyAudit(c.Context(), kept...)
				if err != nil || *keep == "" {
					return err
				}
				signed, err := client.AuditHead(c.Context())
				return errors.Join(err, writeHead(*keep, signed))
			})
		} else {
			head, err = verifyFolder(c.Context(), *data, rows, pass, kept)
		}
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(c.OutOrStdout(), head)
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%d entries, none altered, removed or moved\nHead: %s\n", head.Seq, head.Hash)
		return err
	}
	return c
}

func verifyFolder(ctx context.Context, dir string, rows func() (string, error), pass func() ([]byte, error), kept []api.AuditHead) (head api.AuditHead, err error) {
	connection, err := rows()
	if err != nil {
		return head, err
	}
	passphrase, err := pass()
	if err != nil {
		return head, err
	}
	return platform.VerifyAudit(ctx, dir, platform.Options{Store: connection, Passphrase: passphrase}, kept...)
}

func readHead(file string) ([]api.AuditHead, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var head api.AuditHead
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%s: not a head of an audit log: %w", file, err)
	}
	return []api.AuditHead{head}, nil
}

func writeHead(file string, head api.AuditHead) error {
	var text bytes.Buffer
	if err := printJSON(&text, head); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o600)
}
