package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newServers() *cobra.Command {
	c := &cobra.Command{
		Use: "servers", Short: "TLS certificates that servers show to devices: issue, list, revoke",
		Long: `Issues the TLS certificates that servers show to devices, and revokes them. Any server may
have one. Which application servers may follow the platform, and so know which SIMs
are good, is "simroot platform appservers".`,
	}
	c.AddCommand(newServersIssue(), newServersCertificates(), newServersRevoke())
	// Under the names that they had here once, which scripts may use.
	for _, verb := range []*cobra.Command{newAppServersAdd(), newAppServersList(), newAppServersWithdraw()} {
		verb.Hidden = true
		verb.Short += ` (as "appservers ` + verb.Name() + `")`
		c.AddCommand(verb)
	}
	return c
}

func newServersIssue() *cobra.Command {
	c := &cobra.Command{
		Use:   "issue NAME… --out DIR",
		Short: "Make a key here and have the platform certify it for these names",
		Long: `Makes a P-256 key in DIR/server.key, which stays here, and has the platform
certify it for the given DNS names and IP addresses. The chain goes to DIR/server.crt.`,
		Args: cobra.MinimumNArgs(1),
	}
	n := addAdministration(c)
	out := c.Flags().String("out", ".", "folder for server.key and server.crt")
	c.RunE = func(c *cobra.Command, names []string) error {
		return n.with(func(client *api.Client) error {
			key, csr, err := newServerRequest()
			if err != nil {
				return err
			}
			certificate, err := client.RequestServerCertificate(c.Context(), api.ServerRequest{Names: names, CSR: csr})
			if err != nil {
				return err
			}
			if err := os.MkdirAll(*out, 0o755); err != nil {
				return err
			}
			keyFile, chainFile := filepath.Join(*out, "server.key"), filepath.Join(*out, "server.crt")
			if err := os.WriteFile(keyFile, key, 0o600); err != nil {
				return err
			}
			if err := os.WriteFile(chainFile, []byte(certificate.Chain), 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "Wrote %s and %s\n", keyFile, chainFile)
			return err
		})
	}
	return c
}

const serverHeading = "SERIAL NAMES ISSUED VALID-UNTIL REVOKED REASON"

func serverRow(c api.IssuedServerCertificate) []string {
	return []string{c.Serial, strings.Join(c.Names, ","), day(c.Created), day(c.NotAfter), day(c.Revoked), orDash(string(c.Reason))}
}

func newServersCertificates() *cobra.Command {
	return newList("certificates", "List the TLS certificates that were issued to servers", serverHeading,
		func(c *cobra.Command, client *api.Client) iter.Seq2[api.IssuedServerCertificate, error] {
			return client.ServerCertificates(c.Context())
		}, serverRow)
}

func newServersRevoke() *cobra.Command {
	c := &cobra.Command{Use: "revoke SERIAL", Short: "Revoke the TLS certificate of a server, for good", Args: cobra.ExactArgs(1)}
	n, asJSON, change := addAdministration(c), addJSON(c), addChange(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.with(func(client *api.Client) error {
			revoked, err := client.RevokeServerCertificate(c.Context(), args[0], *change)
			if err != nil {
				return err
			}
			if *asJSON {
				return printJSON(c.OutOrStdout(), revoked)
			}
			return table(c.OutOrStdout(), serverHeading, [][]string{serverRow(revoked)})
		})
	}
	return c
}

// newServerRequest makes a key (PEM) and a certificate request (DER) for it.
func newServerRequest() (key, csr []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	csr, err = x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, private)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), csr, err
}
