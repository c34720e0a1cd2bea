package iotsafe_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
)

// The applet under an AID of its own, and what goes wrong in words and in code.
func ExampleSelect() {
	ctx := context.Background()
	sim, err := card.Open(ctx, "pcsc:")
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	applet, err := iotsafe.Select(ctx, sim, iotsafe.WithAID([]byte{0xA0, 0x00, 0x00, 0x05, 0x59, 0x00, 0x10}))
	if err != nil {
		log.Fatal(err) // errors.Is(err, iotsafe.ErrNoApplet): this SIM has none
	}
	defer applet.Close(ctx)
	key, err := applet.PublicKey(ctx, "\x01")
	if errors.Is(err, apdu.ConditionsNot) {
		log.Fatal(err) // iotsafe: read public key 01: card answered 6985: …: it is empty, …
	}
	signer := applet.Signer(ctx, "\x01", key) // a crypto.Signer
	signature, err := signer.SignES256([]byte("what the meter has read"))
	fmt.Printf("%x, %v\n", signature, err)
}

// The SIM verifies a certificate with the CA's public key, which is in its container 05.
func ExampleApplet_VerifyCertificate() {
	var (
		ctx         = context.Background()
		applet      *iotsafe.Applet
		certificate *x509.Certificate
	)
	err := applet.VerifyCertificate(ctx, "\x05", certificate)
	switch {
	case errors.Is(err, apdu.SignatureMismatch):
		fmt.Println("not signed by this CA")
	case err != nil:
		log.Fatal(err)
	}
}
