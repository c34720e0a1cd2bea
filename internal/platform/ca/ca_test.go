package ca_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/simroot/simroot/internal/platform/ca"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

func newCA(t testing.TB) *ca.CA {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if err := ca.Init(dir, ca.Keys{}); err != nil {
		t.Fatal(err)
	}
	c, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open opens a CA whose rows are not there yet.
func open(t testing.TB, dir string) (*ca.CA, error) {
	t.Helper()
	rows, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "platform.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rows.Close() })
	return ca.Open(t.Context(), rows, dir, ca.Keys{})
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var meter = ca.Subject{ICCID: "8988211000000000017", Organization: "Example Meters", Fleet: "meters"}

func verify(t *testing.T, c *ca.CA, leaf *x509.Certificate, usage x509.ExtKeyUsage, name string) {
	t.Helper()
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.Anchors()) || !between.AppendCertsFromPEM(c.Issuers()) {
		t.Fatal("anchors or issuers are not PEM")
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{usage}, DNSName: name}); err != nil {
		t.Error(err)
	}
}

func TestASIMCertificateNamesTheSIMAndChainsToTheRoot(t *testing.T) {
	c, key, now := newCA(t), newKey(t), time.Now()
	der, err := c.IssueSIM(meter, &key.PublicKey, now, now.Add(90*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	verify(t, c, leaf, x509.ExtKeyUsageClientAuth, "")
	if leaf.Subject.SerialNumber != meter.ICCID || leaf.Subject.CommonName != meter.ICCID {
		t.Errorf("subject %s does not name the SIM", leaf.Subject)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("the certificate is for another key")
	}
	if len(der) > 700 {
		t.Errorf("the certificate has %d bytes: too much for the file of a SIM", len(der))
	}
	t.Logf("%d bytes", len(der))
}

func TestAServerCertificateIsGoodForItsNames(t *testing.T) {
	c, key := newCA(t), newKey(t)
	der, err := c.IssueServer([]string{"localhost", "127.0.0.1", "broker.example.org"}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "broker.example.org"} {
		verify(t, c, leaf, x509.ExtKeyUsageServerAuth, name)
	}
}

func TestNothingIsSignedThatTheLinterRefuses(t *testing.T) {
	c, key, now := newCA(t), newKey(t), time.Now()
	long := ca.Subject{ICCID: meter.ICCID, Organization: strings.Repeat("x", 65)} // ub-organization-name is 64
	if _, err := c.IssueSIM(long, &key.PublicKey, now, now.Add(time.Hour)); !errors.Is(err, ca.ErrLint) {
		t.Errorf("got %v, want a refusal by the linter", err)
	}
	if _, err := c.IssueServer([]string{".example.org"}, &key.PublicKey); !errors.Is(err, ca.ErrLint) {
		t.Errorf("got %v, want a refusal by the linter", err)
	}
}

func TestKeysOnOtherCurvesAreRefused(t *testing.T) {
	c, now := newCA(t), time.Now()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.IssueSIM(meter, &key.PublicKey, now, now.Add(time.Hour)); err == nil {
		t.Error("a P-384 key got a certificate")
	}
}

func TestAnIssuingKeyThatOthersCanReadIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if err := ca.Init(dir, ca.Keys{}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "issuing.key")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v, want a refusal that says what to do", err)
	}
}

func TestACAIsNeverReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if err := ca.Init(dir, ca.Keys{}); err != nil {
		t.Fatal(err)
	}
	if err := ca.Init(dir, ca.Keys{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestTheRootKeyCanBeTakenAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if err := ca.Init(dir, ca.Keys{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "root.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir); err != nil {
		t.Error(err)
	}
}

func BenchmarkIssueSIM(b *testing.B) {
	c, key, now := newCA(b), newKey(b), time.Now()
	for b.Loop() {
		if _, err := c.IssueSIM(meter, &key.PublicKey, now, now.Add(time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepareSIM(b *testing.B) {
	c, key, now := newCA(b), newKey(b), time.Now()
	for b.Loop() {
		if _, err := c.PrepareSIM(meter, &key.PublicKey, now, now.Add(time.Hour)); err != nil {
			b.Fatal(err)
		}
	}
}
