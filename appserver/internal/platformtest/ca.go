package platformtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// CA is a root and an issuing CA.
type CA struct {
	RootPEM, IssuerPEM []byte
	RootCRL            []byte // empty, in DER
	Roots              *x509.CertPool

	root, issuer       *x509.Certificate
	rootKey, issuerKey *ecdsa.PrivateKey

	mu      sync.Mutex
	serial  int64
	number  int64
	revoked []x509.RevocationListEntry
	crl     []byte
}

// NewCA makes a CA.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{serial: 1000, Roots: x509.NewCertPool()}
	name := rand.Text()[:6] // no two CAs have the same
	sign := func(name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ca.serial++
		template := &x509.Certificate{
			SerialNumber: big.NewInt(ca.serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(1000 * time.Hour),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	ca.root, ca.rootKey, ca.RootPEM = sign("Test Root "+name, nil, nil)
	ca.issuer, ca.issuerKey, ca.IssuerPEM = sign("Test Issuing "+name, ca.root, ca.rootKey)
	ca.Roots.AddCert(ca.root)
	ca.renew()
	var err error
	if ca.RootCRL, err = x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: ca.issuer.NotBefore, NextUpdate: ca.issuer.NotAfter,
	}, ca.root, ca.rootKey); err != nil {
		t.Fatal(err)
	}
	return ca
}

// Device issues a certificate to a SIM. The chain is the certificate alone, as a SIM has it.
func (ca *CA) Device(t testing.TB, iccid string) tls.Certificate {
	t.Helper()
	return ca.issue(t, &x509.Certificate{
		Subject:     pkix.Name{CommonName: iccid, SerialNumber: iccid},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// Server issues a certificate to a server at an address or name; the chain holds the issuing CA.
func (ca *CA) Server(t testing.TB, name string) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{name}
	}
	certificate := ca.issue(t, template)
	certificate.Certificate = append(certificate.Certificate, ca.issuer.Raw)
	return certificate
}

func (ca *CA) issue(t testing.TB, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca.mu.Lock()
	ca.serial++
	template.SerialNumber = big.NewInt(ca.serial)
	ca.mu.Unlock()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(100*time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, ca.issuer, key.Public(), ca.issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// CRL is the issuing CA's current CRL in DER.
func (ca *CA) CRL() []byte {
	ca.mu.Lock()
	defer ca.mu.Unlock()
	return ca.crl
}

func (ca *CA) revoke(serial string) {
	number, _ := new(big.Int).SetString(serial, 16)
	ca.mu.Lock()
	defer ca.mu.Unlock()
	ca.revoked = append(ca.revoked, x509.RevocationListEntry{SerialNumber: number, RevocationTime: time.Now()})
	ca.renew()
}

// renew signs a new CRL.
func (ca *CA) renew() {
	ca.number++
	crl, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(ca.number), RevokedCertificateEntries: ca.revoked,
		ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(24 * time.Hour),
	}, ca.issuer, ca.issuerKey)
	if err != nil {
		panic(err)
	}
	ca.crl = crl
}

// Write writes the root certificate, and the certificate and key of a server at 127.0.0.1, into
// files in dir.
func (ca *CA) Write(t testing.TB, dir, root, certificate, key string) error {
	t.Helper()
	server := ca.Server(t, "127.0.0.1")
	der, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	if err != nil {
		return err
	}
	var chain []byte
	for _, c := range server.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, root), ca.RootPEM, 0o600),
		os.WriteFile(filepath.Join(dir, certificate), chain, 0o600),
		os.WriteFile(filepath.Join(dir, key), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
}
