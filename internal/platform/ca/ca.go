// Package ca is the platform's certification authority: a root that signs one issuing CA,
// which signs the certificates of SIMs and application servers and the CRL.
//
// All keys are P-256 and all signatures ECDSA with SHA-256: what SIMs can do. A certificate
// of a SIM is made small, since it must fit into a file on the SIM: its subject has the
// ICCID as common name and as serialNumber, the organisation of the fleet as O and the
// fleet as OU; its one extended key usage is client authentication; it has no
// subjectAltName, because no registered name form holds an ICCID.
//
// Nothing is signed that was not linted: the same template is first signed with a
// throwaway key, and the linter reads the result ([CA.Prepare]). The real key then signs
// exactly the bytes that were linted ([CA.Sign]).
//
// The issuing key is behind go.step.sm/crypto/kms: in a file, or where a URI says (package
// kms). The root's key is needed only by Init; its file may be taken away afterwards.
package ca

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/softkms"

	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/kms"
)

// Files in the folder of a CA.
const (
	rootKeyFile     = "root.key"
	rootFile        = "root.crt"
	rootCRLFile     = "root.crl"
	issuingKeyFile  = "issuing.key"
	issuingURIFile  = "issuing.uri" // in place of issuingKeyFile
	issuingFile     = "issuing.crt"
	certificateType = "CERTIFICATE"
)

// CA signs. It is safe for concurrent use.
type CA struct {
	root, issuer *x509.Certificate
	rootCRL      []byte
	signer       crypto.Signer
	linter       *linter
	now          func() time.Time
	urls         []string // see Publish
}

// Keys say where a CA's private keys are.
type Keys struct {
	Safe keyfile.Safe // of the key files
	// Issuing is the URI of the issuing key, for [Init] only: "" means a file. [Open] finds it
	// in the folder.
	Issuing string
}

// Open opens the CA that [Init] made in a folder.
func Open(dir string, k Keys) (*CA, error) {
	c, err := open(dir, k.Safe)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return c, nil
}

func open(dir string, safe keyfile.Safe) (*CA, error) {
	c := &CA{now: time.Now}
	var err error
	if c.root, err = readCertificate(filepath.Join(dir, rootFile)); err != nil {
		return nil, err
	}
	if c.issuer, err = readCertificate(filepath.Join(dir, issuingFile)); err != nil {
		return nil, err
	}
	if err := c.issuer.CheckSignatureFrom(c.root); err != nil {
		return nil, fmt.Errorf("%s is not signed by %s: %w", issuingFile, rootFile, err)
	}
	if c.rootCRL, err = readRootCRL(dir, safe, c.root, c.issuer); err != nil {
		return nil, err
	}
	if c.signer, err = openIssuingKey(dir, safe); err != nil {
		return nil, err
	}
	if public, ok := c.signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(c.issuer.PublicKey) {
		return nil, fmt.Errorf("the issuing key is not the key of %s", issuingFile)
	}
	c.linter, err = newLinter(c.issuer)
	return c, err
}

// openIssuingKey opens the issuing key, which is where the folder says or in it.
func openIssuingKey(dir string, safe keyfile.Safe) (crypto.Signer, error) {
	keyURI, err := keyfile.Read(filepath.Join(dir, issuingURIFile))
	if err == nil {
		return kms.Signer(context.Background(), strings.TrimSpace(string(keyURI)), false)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key, err := safe.Read(filepath.Join(dir, issuingKeyFile))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	signer, err := new(softkms.SoftKMS).CreateSigner(&apiv1.CreateSignerRequest{SigningKeyPEM: key})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", issuingKeyFile, err)
	}
	return signer, nil
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != certificateType || len(rest) > 0 {
		return nil, fmt.Errorf("%s: want one certificate in PEM", file)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// Root is the certificate that devices and servers trust.
func (c *CA) Root() *x509.Certificate { return c.root }

// Issuer is the certificate of the issuing CA.
func (c *CA) Issuer() *x509.Certificate { return c.issuer }

// Anchors is the root certificate in PEM.
func (c *CA) Anchors() []byte { return encode(c.root.Raw) }

// Issuers is the certificate of the issuing CA in PEM. A device presents its own
// certificate alone, so its servers need this one.
func (c *CA) Issuers() []byte { return encode(c.issuer.Raw) }

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: der})
}

// ErrLint is in the chain of every error about a certificate that the linter refused.
var ErrLint = errors.New("the certificate does not pass the linter, nothing was signed")
