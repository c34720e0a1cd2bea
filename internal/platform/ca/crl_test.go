package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"math/big"
	"path/filepath"
	"testing"
	"time"
)

// listCA is a CA that publishes.
func listCA(t testing.TB) *CA {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if err := Init(dir, Keys{}); err != nil {
		t.Fatal(err)
	}
	c, err := openIn(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Publish("http://pki.example.org")
	return c
}

func TestAListIsByteForByteThatOfTheStandardLibrary(t *testing.T) {
	c, now := listCA(t), time.Now()
	of := c.Trusted()[0]
	number := func(text string) *big.Int {
		n, ok := new(big.Int).SetString(text, 16)
		if !ok {
			t.Fatal(text)
		}
		return n
	}
	for name, list := range map[string]struct {
		entries []x509.RevocationListEntry
		number  int64
		scope   Scope
	}{
		"of nothing": {nil, 1, Scope{}},
		"complete": {[]x509.RevocationListEntry{
			{SerialNumber: number("7"), RevocationTime: now, ReasonCode: 1},
			{SerialNumber: number("80"), RevocationTime: now.Add(-time.Hour)},
			{SerialNumber: number("7fffffffffffffffffffffffffffffff"), RevocationTime: time.Date(2049, 12, 31, 23, 59, 59, 0, time.UTC), ReasonCode: 6},
			{SerialNumber: number("400280000000000000000000000000000001"), RevocationTime: time.Date(2050, 1, 1, 0, 0, 0, 999, time.FixedZone("", -3600)), ReasonCode: 9},
			{SerialNumber: number("0"), RevocationTime: now},
		}, 1 << 40, Scope{}},
		"delta": {[]x509.RevocationListEntry{{SerialNumber: number("4ab"), RevocationTime: now, ReasonCode: 8}}, 300, Scope{Delta: true, Base: 129}},
		"shard": {[]x509.RevocationListEntry{{SerialNumber: number("ffff"), RevocationTime: now, ReasonCode: 5}}, 128, Scope{Sharded: true, Shard: 63}},
	} {
		var entries []byte
		for _, e := range list.entries {
			var err error
			if entries, err = AppendCRLEntry(entries, SerialText(e.SerialNumber), e.RevocationTime, e.ReasonCode); err != nil {
				t.Fatal(err)
			}
		}
		der, err := c.CRL(of, entries, list.number, now, list.scope)
		if err != nil {
			t.Fatal(err)
		}
		got, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := got.CheckSignatureFrom(c.Issuer()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		about, err := c.scope(of.Number, list.scope)
		if err != nil {
			t.Fatal(err)
		}
		from := now.UTC().Truncate(time.Second)
		der, err = x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			RevokedCertificateEntries: list.entries, Number: big.NewInt(list.number), ThisUpdate: from, NextUpdate: from.Add(CRLLifetime),
			SignatureAlgorithm: x509.ECDSAWithSHA256, ExtraExtensions: about,
		}, of.by.issuer, of.by.signer)
		if err != nil {
			t.Fatal(err)
		}
		want, err := x509.ParseRevocationList(der)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.RawTBSRevocationList, want.RawTBSRevocationList) {
			t.Errorf("%s:\n%x\nthe standard library:\n%x", name, got.RawTBSRevocationList, want.RawTBSRevocationList)
		}
	}
}

func TestASerialNumberThatIsNoneIsNotListed(t *testing.T) {
	for _, serial := range []string{"", "0x7", "-7", "7fffffffffffffffffffffffffffffffffffffffff"} {
		if entries, err := AppendCRLEntry(nil, serial, time.Now(), 1); err == nil {
			t.Errorf("%q: %x", serial, entries)
		}
	}
}
