package ca

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.step.sm/crypto/pemutil"

	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/refuse"
	"github.com/simroot/simroot/internal/platform/store"
)

// Made is a CA whose keys and certificates were made, and which nobody knows of yet.
type Made struct {
	Row            store.CA // [store.CANext], but for its time
	folder, placed string
	isPlaced       bool
}

// unplaced begins the names of the folders of CAs that were made and are not in their place yet, or that
// were given up and are about to go.
const unplaced = "unplaced-"

// Make makes the CA that is to follow the one that issues. If the present root's key is there, it
// signs the new root too, so that those who know only the present root will trust what the new one vouches for.
func (c *CA) Make(present store.CA) (m *Made, err error) {
	k, err := c.nextKeys(present.Number)
	if err != nil {
		return nil, err
	}
	m = &Made{placed: c.folder(present.Number + 1)}
	if m.folder, err = os.MkdirTemp(c.dir, unplaced+"*"); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	err = Init(m.folder, k)
	if err == nil {
		err = c.crossSign(present, m.folder)
	}
	if err == nil {
		m.Row, err = describe(m.folder, c.safe, present.Number+1)
	}
	if err == nil {
		err = anotherKey(m.Row, present)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ca: make the next one: %w", err), m.Discard())
	}
	m.Row.State = store.CANext
	return m, nil
}

// anotherKey refuses a CA with the issuing key of the one before.
func anotherKey(next, present store.CA) error {
	n, errNext := x509.ParseCertificate(next.Issuer)
	p, errPresent := x509.ParseCertificate(present.Issuer)
	if err := errors.Join(errNext, errPresent); err != nil {
		return err
	}
	if bytes.Equal(n.RawSubjectPublicKeyInfo, p.RawSubjectPublicKeyInfo) {
		return refuse.Conflict("%s in the CA's folder names the present issuing key: write the URI of another one there", nextURIFile)
	}
	return nil
}

// Place puts the keys where this node looks for them. It comes before the commit of the row: a row without keys
// would be worse than keys without a row, in whose place the next ones come. Placing them again, in a transaction
// that is run again, changes nothing.
func (m *Made) Place() error {
	if m.isPlaced {
		return nil
	}
	if err := os.RemoveAll(m.placed); err != nil {
		return err
	}
	if err := os.Rename(m.folder, m.placed); err != nil {
		return err
	}
	m.isPlaced = true
	return keyfile.SyncFolder(filepath.Dir(m.placed))
}

// Discard destroys keys that were not placed.
func (m *Made) Discard() error { return os.RemoveAll(m.folder) }

// nextURIFile names the issuing key of the next CA, where that is not to be a file.
const nextURIFile = "next.uri"

// nextKeys says where the keys of the next CA are made: where a file in the folder says, or in files, if
// those of the present one are.
func (c *CA) nextKeys(present int) (Keys, error) {
	k := Keys{Safe: c.safe}
	uri, err := keyfile.Read(filepath.Join(c.dir, nextURIFile))
	if err == nil {
		k.Issuing = strings.TrimSpace(string(uri))
		return k, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return k, err
	}
	if _, err := os.Stat(filepath.Join(c.folder(present), issuingURIFile)); err == nil {
		return k, refuse.Conflict("the issuing key is not in a file; write the URI of the next one to %s in the CA's folder, mode 0600", nextURIFile)
	}
	return k, nil
}

// crossSign has a root sign the root of another CA, if its key is there.
func (c *CA) crossSign(by store.CA, dir string) error {
	key, err := readRootKey(c.folder(by.Number), c.safe)
	if key == nil || err != nil {
		return err
	}
	parent, err := x509.ParseCertificate(by.Root)
	if err != nil {
		return err
	}
	root, err := readCertificate(filepath.Join(dir, rootFile))
	if err != nil {
		return err
	}
	template, err := authority(root.Subject.CommonName, root.PublicKey, root.NotBefore, min(rootLifetime, parent.NotAfter.Sub(root.NotBefore)))
	if err != nil {
		return err
	}
	signed, err := signAuthority(template, parent, key)
	if err != nil {
		return err
	}
	return keyfile.Write(filepath.Join(dir, crossFile), encode(signed.Raw))
}

// readRootKey reads a root's key; nil if it was taken away.
func readRootKey(dir string, safe keyfile.Safe) (crypto.Signer, error) {
	text, err := safe.Read(filepath.Join(dir, rootKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer clear(text)
	parsed, err := pemutil.ParseKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rootKeyFile, err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: holds no private key", rootKeyFile)
	}
	return key, nil
}

// describe makes the row of a CA from what [Init] has put into its folder. It has no state yet.
func describe(dir string, safe keyfile.Safe, number int) (row store.CA, err error) {
	root, err := readCertificate(filepath.Join(dir, rootFile))
	if err != nil {
		return row, err
	}
	issuer, err := readCertificate(filepath.Join(dir, issuingFile))
	if err != nil {
		return row, err
	}
	row = store.CA{Number: number, Name: root.Subject.CommonName, Root: root.Raw, Issuer: issuer.Raw}
	if row.RootCRL, err = readRootCRL(dir, safe, root, issuer); err != nil {
		return row, err
	}
	cross, err := readCertificate(filepath.Join(dir, crossFile))
	switch {
	case err == nil:
		row.Cross = cross.Raw
	case !errors.Is(err, fs.ErrNotExist):
		return row, err
	}
	return row, nil
}
