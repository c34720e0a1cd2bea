package ca

import (
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"

	"github.com/simroot/simroot/internal/platform/keyfile"
)

// RootCRL is the root's revocation list in DER, nil if there is none: the root's key was taken away before
// it signed one. It names no certificate, and is good for as long as the issuing CA is, for the
// root's key need not be here. Servers that check whole chains (nginx, HAProxy) want it beside the
// issuing CA's. Should the issuing CA have to be revoked, another list takes its place.
func (c *CA) RootCRL() []byte { return c.issuing().rootCRL }

func writeRootCRL(dir string, root, issuing *x509.Certificate, key crypto.Signer) error {
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: issuing.NotBefore, NextUpdate: issuing.NotAfter,
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}, root, key)
	if err != nil {
		return err
	}
	return keyfile.Write(filepath.Join(dir, rootCRLFile), der)
}

// readRootCRL reads what writeRootCRL wrote. A folder of an earlier version gets its list now, if the
// root's key is still there.
func readRootCRL(dir string, safe keyfile.Safe, root, issuing *x509.Certificate) ([]byte, error) {
	file := filepath.Join(dir, rootCRLFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		key, err := readRootKey(dir, safe)
		if key == nil || err != nil {
			return nil, err
		}
		if err := writeRootCRL(dir, root, issuing, key); err != nil {
			return nil, err
		}
	}
	der, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list, err := x509.ParseRevocationList(der)
	if err == nil {
		err = list.CheckSignatureFrom(root)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", rootCRLFile, err)
	}
	return der, nil
}
