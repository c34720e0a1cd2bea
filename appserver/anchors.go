package appserver

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/simroot/simroot/api"
)

// The files in [Options.Dir] that keep the platform's CA certificates over restarts.
const (
	anchorsFile = "trust-anchors.pem"
	issuersFile = "issuers.pem"
)

// anchors are the certificates that a device's chain may end at: the platform's trust
// anchors, and its issuing CAs, since a SIM may show its own certificate only.
type anchors struct {
	roots, issuers []byte // PEM, as fetched
	pool           *x509.CertPool
}

func (a *anchors) digest() string { return api.CADigest(a.roots, a.issuers) }

// newAnchors checks that every issuing CA chains to a trust anchor.
func newAnchors(roots, issuers []byte) (*anchors, error) {
	rootCerts, err := parseCertificates(roots)
	if err != nil {
		return nil, fmt.Errorf("trust anchors: %w", err)
	}
	issuerCerts, err := parseCertificates(issuers)
	if err != nil {
		return nil, fmt.Errorf("issuing CAs: %w", err)
	}
	top, pool := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range rootCerts {
		top.AddCert(c)
		pool.AddCert(c)
	}
	for _, c := range issuerCerts {
		if _, err := c.Verify(x509.VerifyOptions{Roots: top, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			return nil, fmt.Errorf("issuing CA %q does not chain to the platform's trust anchors: %w", c.Subject, err)
		}
		pool.AddCert(c)
	}
	return &anchors{roots: roots, issuers: issuers, pool: pool}, nil
}

func parseCertificates(text []byte) ([]*x509.Certificate, error) {
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		certificates = append(certificates, c)
	}
	if len(certificates) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return certificates, nil
}

// loadAnchors reads what was kept; nil if there is nothing.
func (m *Middleware) loadAnchors() error {
	roots, err := os.ReadFile(filepath.Join(m.dir, anchorsFile))
	if err != nil {
		return err
	}
	issuers, err := os.ReadFile(filepath.Join(m.dir, issuersFile))
	if err != nil {
		return err
	}
	a, err := newAnchors(roots, issuers)
	if err != nil {
		return err
	}
	m.anchors.Store(a)
	return nil
}

// fetchAnchors asks the platform for its CA certificates, and keeps them if they changed.
func (m *Middleware) fetchAnchors(ctx context.Context) error {
	roots, err := m.platform.TrustAnchors(ctx)
	if err != nil {
		return fmt.Errorf("fetch the trust anchors: %w", err)
	}
	issuers, err := m.platform.Issuers(ctx)
	if err != nil {
		return fmt.Errorf("fetch the issuing CAs: %w", err)
	}
	if old := m.anchors.Load(); old != nil && bytes.Equal(old.roots, roots) && bytes.Equal(old.issuers, issuers) {
		return nil
	}
	a, err := newAnchors(roots, issuers)
	if err != nil {
		return err
	}
	m.anchors.Store(a)
	return errors.Join(
		replaceFile(filepath.Join(m.dir, anchorsFile), roots),
		replaceFile(filepath.Join(m.dir, issuersFile), issuers))
}

// replaceFile writes a file in one step: a reader sees the old content or the new.
func replaceFile(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}
