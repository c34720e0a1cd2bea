package beside

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/simroot/simroot/api"
)

// authorities are the platform's CAs and their CRLs, as last fetched.
type authorities struct {
	platform *api.Client
	cas      []byte
	certs    []*x509.Certificate
	crls     []byte
	crlEnds  time.Time // the first of them
}

// fetchCAs fetches the CA certificates: TLS libraries need those of the issuing CAs as well, for a SIM
// may show its own certificate only.
func (a *authorities) fetchCAs(ctx context.Context) error {
	roots, err := a.platform.TrustAnchors(ctx)
	if err != nil {
		return fmt.Errorf("fetch the trust anchors: %w", err)
	}
	issuers, err := a.platform.Issuers(ctx)
	if err != nil {
		return fmt.Errorf("fetch the issuing CAs: %w", err)
	}
	var text bytes.Buffer
	var certs []*x509.Certificate
	for rest := append(append(bytes.Clone(roots), '\n'), issuers...); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("the platform's CA certificates: %w", err)
		}
		certs = append(certs, c)
		pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}) //nolint:errcheck // a buffer
	}
	if len(certs) == 0 {
		return errors.New("the platform has no CA certificates")
	}
	a.cas, a.certs = text.Bytes(), certs
	return nil
}

// fetchCRLs fetches the CRLs, of the root too if it has one, and notes when they must be fetched again.
func (a *authorities) fetchCRLs(ctx context.Context) error {
	issuing, err := a.platform.CRL(ctx)
	if err != nil {
		return fmt.Errorf("fetch the CRL: %w", err)
	}
	lists := [][]byte{issuing}
	switch root, err := a.platform.RootCRL(ctx); {
	case err == nil:
		lists = append(lists, root)
	case !api.HasCode(err, api.CodeConflict):
		return fmt.Errorf("fetch the root's CRL: %w", err)
	}
	var text bytes.Buffer
	var ends time.Time
	for _, der := range lists {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return fmt.Errorf("CRL: %w", err)
		}
		if err := a.checkCRL(list); err != nil {
			return err
		}
		if ends.IsZero() || list.NextUpdate.Before(ends) {
			ends = list.NextUpdate
		}
		pem.Encode(&text, &pem.Block{Type: "X509 CRL", Bytes: der}) //nolint:errcheck // a buffer
	}
	a.crls, a.crlEnds = text.Bytes(), ends
	return nil
}

// checkCRL refuses a CRL with which a server would refuse every device: one of a CA that it
// does not know, or one that is past its end.
func (a *authorities) checkCRL(list *x509.RevocationList) error {
	if !list.NextUpdate.IsZero() && list.NextUpdate.Before(time.Now()) {
		return fmt.Errorf("CRL of %q: it ended at %s: check the clocks of platform and server", list.Issuer, list.NextUpdate)
	}
	for _, c := range a.certs {
		if list.CheckSignatureFrom(c) == nil {
			return nil
		}
	}
	return fmt.Errorf("CRL of %q: it is not signed by a CA of the platform", list.Issuer)
}

// nobody is a CA certificate whose key was thrown away, in PEM: no client has a certificate of it.
var nobody = sync.OnceValues(func() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "nobody: the platform was out of reach for too long"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), err
})

// WholeChain tells with an error that CRLs are missing for servers that want one of every CA in a chain.
func WholeChain(crls []byte) error {
	issuers := map[string]bool{}
	for rest := crls; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return fmt.Errorf("CRL: %w", err)
		}
		issuers[string(list.RawIssuer)] = true
	}
	if len(issuers) < 2 {
		return errors.New("the platform has no CRL of its root, and without one this server would refuse every client: crl.pem stays as it was; put the root's key back for one start of the platform")
	}
	return nil
}
