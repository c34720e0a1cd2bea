package applet_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/simroot/simroot/iotsafe"
)

// BenchmarkSign is a signature by the client library through the card's operating
// system; BenchmarkSignInMemory is what it cannot be faster than.
func BenchmarkSign(b *testing.B) {
	s := fieldSIM(b)
	c := s.client()
	key, err := c.PublicKey(b.Context(), "\x01")
	if err != nil {
		b.Fatal(err)
	}
	signer, digest := c.Signer(b.Context(), "\x01", key), sha256.Sum256(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := signer.Sign(nil, digest[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignInMemory(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	b.ReportAllocs()
	for b.Loop() {
		der, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
		if err != nil || len(der) < 8 {
			b.Fatal(err)
		}
	}
}

// BenchmarkGetData is one command without any cryptography.
func BenchmarkGetData(b *testing.B) {
	s := fieldSIM(b)
	c := s.client()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Object(b.Context(), iotsafe.File, "\x02"); err != nil {
			b.Fatal(err)
		}
	}
}
