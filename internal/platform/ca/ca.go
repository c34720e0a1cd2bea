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
// throwaway key, and the linter reads the result ([CA.PrepareServer]). The real key then signs
// exactly the bytes that were linted ([CA.Sign]). Certificates of SIMs of one fleet are alike but for
// five fields, so that the linter reads the first of each day ([CA.PrepareSIM]).
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
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/store"
)

// Files in the folder of a CA.
const (
	rootKeyFile     = "root.key"
	rootFile        = "root.crt"
	rootCRLFile     = "root.crl"
	issuingKeyFile  = "issuing.key"
	issuingURIFile  = "issuing.uri" // in place of issuingKeyFile
	issuingFile     = "issuing.crt"
	crossFile       = "cross.crt"
	certificateType = "CERTIFICATE"
)

// CA signs. It is safe for concurrent use.
//
// One CA follows another in a rollover (package rollover). Which ones count, and which of them issues, are
// rows of the store; their keys are in the folder. What is stored of a certificate is stored only while the line of
// CAs is as it was when the certificate was made: see [Prepared.On].
type CA struct {
	store store.Store
	dir   string
	safe  keyfile.Safe
	now   func() time.Time
	urls  []string // see Publish

	reading sync.Mutex // one reading of the line at a time
	line    atomic.Pointer[line]
}

// generation is one root with its issuing CA.
type generation struct {
	number       int
	root, issuer *x509.Certificate
	cross        *x509.Certificate // the root, signed by the root before it; nil if there is none
	rootCRL      []byte
	linter       *linter
	moulds       *moulds
	signer       crypto.Signer
	lacks        error  // why the signer signs nothing
	looked       string // what the folder was like when the key was looked for
}

// issuing is the generation that signs.
func (c *CA) issuing() *generation { return c.line.Load().issuing }

// Keys say where a CA's private keys are.
type Keys struct {
	Safe keyfile.Safe // of the key files
	// Issuing is the URI of the issuing key, for [Init] only: "" means a file. [Open] finds it
	// in the folder.
	Issuing string
}

// Open opens the CA that [Init] made in a folder, and whose line is in a store. It fails if the key that issues is
// not there. The store's transactions must not join others.
func Open(ctx context.Context, s store.Store, dir string, k Keys) (*CA, error) {
	c := &CA{store: s, dir: dir, safe: k.Safe, now: time.Now}
	left, err := filepath.Glob(filepath.Join(dir, unplaced+"*"))
	for _, folder := range left { // by a process that was cut
		err = errors.Join(err, os.RemoveAll(folder))
	}
	if err == nil {
		err = c.adopt(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	if err := c.Refresh(ctx); err != nil {
		return nil, err
	}
	if err := c.issuing().lacks; err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return c, nil
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

// Root is the root above the CA that issues.
func (c *CA) Root() *x509.Certificate { return c.issuing().root }

// Issuer is the certificate of the CA that issues.
func (c *CA) Issuer() *x509.Certificate { return c.issuing().issuer }

// Anchors are the root certificates that devices and servers trust, in PEM: the issuing CA's first.
func (c *CA) Anchors() (all []byte) {
	for _, g := range c.line.Load().all() {
		all = append(all, encode(g.root.Raw)...)
	}
	return all
}

// Issuers are the certificates of the issuing CAs in PEM, the present one first. A device
// presents its own certificate alone, so its servers need them.
func (c *CA) Issuers() (all []byte) {
	for _, g := range c.line.Load().all() {
		all = append(all, encode(g.issuer.Raw)...)
	}
	return all
}

// Chain is what a server presents, in PEM: a certificate in DER, the issuing CA that has given it, and its root as
// the root before it has signed it, for those who know only that one.
func (c *CA) Chain(leaf []byte) []byte {
	g := c.issuing()
	if certificate, err := x509.ParseCertificate(leaf); err == nil {
		for _, other := range c.line.Load().all() {
			if other.number == issuerOf(certificate.SerialNumber) {
				g = other
			}
		}
	}
	chain := append(encode(leaf), encode(g.issuer.Raw)...)
	if g.cross != nil {
		chain = append(chain, encode(g.cross.Raw)...)
	}
	return chain
}

func encode(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: der})
}

// ErrLint is in the chain of every error about a certificate that the linter refused.
var ErrLint = errors.New("the certificate does not pass the linter, nothing was signed")
