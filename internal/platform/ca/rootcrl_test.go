package ca

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

// openIn opens a CA whose rows are not there yet.
func openIn(t testing.TB, dir string) (*CA, error) {
	t.Helper()
	rows, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "platform.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rows.Close() })
	return Open(t.Context(), rows, dir, Keys{})
}

func TestTheRootsCRLIsThereAlsoInFoldersOfEarlierVersions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if err := Init(dir, Keys{}); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		c, err := openIn(t, dir)
		if err != nil {
			t.Fatal(err)
		}
		list, err := x509.ParseRevocationList(c.RootCRL())
		if err != nil {
			t.Fatal(err)
		}
		if err := list.CheckSignatureFrom(c.Root()); err != nil {
			t.Error(err)
		}
		if len(list.RevokedCertificateEntries) != 0 || !list.NextUpdate.Equal(c.Issuer().NotAfter) {
			t.Errorf("it names %d certificates and ends at %s", len(list.RevokedCertificateEntries), list.NextUpdate)
		}
	}
	check()
	if err := os.Remove(filepath.Join(dir, rootCRLFile)); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestWithoutTheRootsKeyThereMayBeNoRootCRLAndAForeignOneIsRefused(t *testing.T) {
	dir, other := filepath.Join(t.TempDir(), "ca"), filepath.Join(t.TempDir(), "other")
	for _, d := range []string{dir, other} {
		if err := Init(d, Keys{}); err != nil {
			t.Fatal(err)
		}
	}
	foreign, err := os.ReadFile(filepath.Join(other, rootCRLFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{rootKeyFile, rootCRLFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := openIn(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.RootCRL() != nil {
		t.Error("there is one that nobody signed")
	}
	if err := os.WriteFile(filepath.Join(dir, rootCRLFile), foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openIn(t, dir); err == nil {
		t.Error("the CRL of another root is taken")
	}
}
