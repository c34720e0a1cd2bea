package ca

import (
	"path/filepath"
	"strings"
	"testing"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/softkms"

	"github.com/simroot/simroot/internal/platform/store"
	"github.com/simroot/simroot/internal/platform/store/sqlite"
)

// Who writes into the database does not have a root of their own believed: the folder with the key says of which
// root the CA is.
func TestADatabaseThatNamesAnotherRootIsNotBelieved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if err := Init(dir, Keys{}); err != nil {
		t.Fatal(err)
	}
	rows, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "platform.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	c, err := Open(t.Context(), rows, dir, Keys{})
	if err != nil {
		t.Fatal(err)
	}
	kms := &softkms.SoftKMS{}
	created, err := kms.CreateKey(&apiv1.CreateKeyRequest{SignatureAlgorithm: apiv1.ECDSAWithSHA256})
	if err != nil {
		t.Fatal(err)
	}
	key, err := kms.CreateSigner(&created.CreateSignerRequest)
	if err != nil {
		t.Fatal(err)
	}
	template, err := authority(c.Root().Subject.CommonName, key.Public(), c.Root().NotBefore, rootLifetime)
	if err != nil {
		t.Fatal(err)
	}
	root, err := signAuthority(template, template, key)
	if err != nil {
		t.Fatal(err)
	}
	if template, err = authority(c.Issuer().Subject.CommonName, c.Issuer().PublicKey, c.Issuer().NotBefore, issuingLifetime); err != nil {
		t.Fatal(err)
	}
	template.MaxPathLenZero = true
	issuer, err := signAuthority(template, root, key) // with the platform's own key
	if err != nil {
		t.Fatal(err)
	}
	err = rows.Update(t.Context(), func(tx store.Tx) error {
		all, err := tx.CAs()
		if err != nil {
			return err
		}
		all[0].Root, all[0].Issuer = root.Raw, issuer.Raw
		return tx.PutCA(all[0])
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), rows, dir, Keys{}); err == nil || !strings.Contains(err.Error(), "another CA than the database's") {
		t.Errorf("at the start: %v", err)
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Check(c.now()); err == nil {
		t.Error("a platform that serves signs for it")
	}
}
