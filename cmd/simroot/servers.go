package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/simroot/simroot/api"
)

func newServers() *cobra.Command {
	c := &cobra.Command{Use: "servers", Short: "TLS certificates of application servers"}
	c.AddCommand(newServersIssue())
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
