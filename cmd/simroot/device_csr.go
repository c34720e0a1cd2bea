package main

import (
	"encoding/pem"

	"github.com/spf13/cobra"
)

func newDeviceCSR() *cobra.Command {
	c := &cobra.Command{
		Use:   "csr --card URI",
		Short: "Make a certificate request for the SIM's key",
		Long: `Prints a certificate request (PKCS #10, PEM) that the SIM has signed, for a CA
other than the platform's: for the key of the SIM's credential or, before there
is one, for its first key pair that signs. The subject names the SIM by its
ICCID.`,
		Example: "  simroot device csr --card pcsc: | openssl req -verify -noout -subject",
		Args:    cobra.NoArgs,
	}
	sim, asJSON := addCard(c), addJSON(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		d, err := sim.open(c)
		if err != nil {
			return err
		}
		defer closeDevice(c, d)
		request, err := d.CertificateRequest(c.Context())
		if err != nil {
			return err
		}
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request})
		if *asJSON {
			return printJSON(c.OutOrStdout(), map[string]string{"iccid": string(d.ICCID()), "request": string(text)})
		}
		_, err = c.OutOrStdout().Write(text)
		return err
	}
	return c
}
