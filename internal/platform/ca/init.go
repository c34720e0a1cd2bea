package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.step.sm/crypto/kms/apiv1"
	"go.step.sm/crypto/kms/softkms"
	"go.step.sm/crypto/pemutil"
	"go.step.sm/crypto/x509util"

	"github.com/simroot/simroot/internal/platform/keyfile"
	"github.com/simroot/simroot/internal/platform/kms"
)

// Lifetimes of the CA certificates. SIMs stay in the field for ten years and more, and the
// root is on them.
const (
	rootLifetime    = 25 * 365 * 24 * time.Hour
	issuingLifetime = 15 * 365 * 24 * time.Hour
)

// backdate is how far before the present a certificate begins, for clocks that are slow.
const backdate = 5 * time.Minute

// Init makes the keys and certificates of a new CA in a folder, which must hold none.
func Init(dir string, k Keys) error {
	if err := initialize(dir, k); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	return nil
}

func initialize(dir string, k Keys) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	rootKey, err := createKey(filepath.Join(dir, rootKeyFile), k.Safe)
	if err != nil {
		return err
	}
	issuingKey, err := createIssuingKey(dir, k)
	if err != nil {
		return err
	}
	// The name tells the CAs of several platforms apart.
	var random [4]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	name := hex.EncodeToString(random[:])
	begin := time.Now().Add(-backdate)

	root, err := authority("simroot root "+name, rootKey.Public(), begin, rootLifetime)
	if err != nil {
		return err
	}
	signedRoot, err := signAuthority(root, root, rootKey)
	if err != nil {
		return err
	}
	issuing, err := authority("simroot issuing CA "+name, issuingKey.Public(), begin, issuingLifetime)
	if err != nil {
		return err
	}
	issuing.MaxPathLenZero = true
	signedIssuing, err := signAuthority(issuing, signedRoot, rootKey)
	if err != nil {
		return err
	}
	if err := keyfile.Write(filepath.Join(dir, rootFile), encode(signedRoot.Raw)); err != nil {
		return err
	}
	if err := keyfile.Write(filepath.Join(dir, issuingFile), encode(signedIssuing.Raw)); err != nil {
		return err
	}
	return writeRootCRL(dir, signedRoot, signedIssuing, rootKey)
}

// createIssuingKey makes the issuing key, or takes the one that is where the URI says.
func createIssuingKey(dir string, k Keys) (crypto.Signer, error) {
	if k.Issuing == "" {
		return createKey(filepath.Join(dir, issuingKeyFile), k.Safe)
	}
	key, err := kms.Signer(context.Background(), k.Issuing, true)
	if err != nil {
		return nil, err
	}
	return key, keyfile.Write(filepath.Join(dir, issuingURIFile), []byte(k.Issuing+"\n"))
}

// createKey makes a P-256 key and writes it to a new private file.
func createKey(file string, safe keyfile.Safe) (crypto.Signer, error) {
	kms := &softkms.SoftKMS{}
	created, err := kms.CreateKey(&apiv1.CreateKeyRequest{Name: file, SignatureAlgorithm: apiv1.ECDSAWithSHA256})
	if err != nil {
		return nil, err
	}
	block, err := pemutil.Serialize(created.PrivateKey)
	if err != nil {
		return nil, err
	}
	if err := safe.Write(file, pem.EncodeToMemory(block)); err != nil {
		return nil, err
	}
	return kms.CreateSigner(&created.CreateSignerRequest)
}

func authority(name string, key crypto.PublicKey, begin time.Time, lifetime time.Duration) (*x509.Certificate, error) {
	serial, err := newSerial(1)
	if err != nil {
		return nil, err
	}
	id, err := x509util.GenerateSubjectKeyID(key)
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: name, Organization: []string{"simroot"}},
		PublicKey:             key,
		NotBefore:             begin,
		NotAfter:              begin.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		SubjectKeyId:          id,
		SignatureAlgorithm:    x509.ECDSAWithSHA256,
	}, err
}

// signAuthority lints and signs the certificate of a CA.
func signAuthority(template, parent *x509.Certificate, key crypto.Signer) (*x509.Certificate, error) {
	l, err := newLinter(parent)
	if err != nil {
		return nil, err
	}
	if template == parent { // it signs itself
		err = l.checkSelfSigned(template)
	} else {
		_, err = l.check(template)
	}
	if err != nil {
		return nil, err
	}
	return x509util.CreateCertificate(template, parent, template.PublicKey, key)
}
