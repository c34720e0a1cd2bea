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

// fetchCRLs fetches the CRLs of all CAs, of the roots too if they have one, and notes when they must be fetched
// again. They may be the first to tell that one CA follows another: then the CA certificates are fetched as well.
func (a *authorities) fetchCRLs(ctx context.Context) error {
	fetched, err := a.platform.CRLs(ctx)
	if err != nil {
		return fmt.Errorf("fetch the CRLs: %w", err)
	}
	lists, err := parseCRLs(fetched)
	if err != nil {
		return err
	}
	if a.checkCRLs(lists) != nil {
		if err := a.fetchCAs(ctx); err != nil {
			return err
		}
		if err := a.checkCRLs(lists); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	var ends time.Time
	for _, list := range lists {
		if ends.IsZero() || list.NextUpdate.Before(ends) {
			ends = list.NextUpdate
		}
		pem.Encode(&text, &pem.Block{Type: "X509 CRL", Bytes: list.Raw}) //nolint:errcheck // a buffer
	}
	a.crls, a.crlEnds = text.Bytes(), ends
	return nil
}

func parseCRLs(text []byte) (lists []*x509.RevocationList, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return lists, nil
		}
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("CRL: %w", err)
		}
		lists = append(lists, list)
	}
}

// checkCRLs refuses CRLs with which a server would refuse every device, or all of one issuing CA.
func (a *authorities) checkCRLs(lists []*x509.RevocationList) error {
	listed := map[*x509.Certificate]bool{}
	for _, list := range lists {
		by, err := a.checkCRL(list)
		if err != nil {
			return err
		}
		listed[by] = true
	}
	for _, c := range a.certs {
		if !isRoot(c) && !listed[c] {
			return fmt.Errorf("the platform has no CRL of its issuing CA %q", c.Subject)
		}
	}
	return nil
}

func isRoot(c *x509.Certificate) bool { return bytes.Equal(c.RawIssuer, c.RawSubject) }

// checkCRL finds the CA that has signed a CRL. It refuses one of a CA that it does not know, or one that is
// past its end.
func (a *authorities) checkCRL(list *x509.RevocationList) (by *x509.Certificate, err error) {
	if !list.NextUpdate.IsZero() && list.NextUpdate.Before(time.Now()) {
		return nil, fmt.Errorf("CRL of %q: it ended at %s: check the clocks of platform and server", list.Issuer, list.NextUpdate)
	}
	for _, c := range a.certs {
		if list.CheckSignatureFrom(c) == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("CRL of %q: it is not signed by a CA of the platform", list.Issuer)
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

// WholeChain tells with an error that CRLs are missing for servers that want one of every CA in a chain: each
// of the CAs needs one.
func WholeChain(cas, crls []byte) error {
	lists, err := parseCRLs(crls)
	if err != nil {
		return err
	}
	issuers := map[string]bool{}
	for _, list := range lists {
		issuers[string(list.RawIssuer)] = true
	}
	for {
		var block *pem.Block
		if block, cas = pem.Decode(cas); block == nil {
			return nil
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("CA certificate: %w", err)
		}
		if !issuers[string(c.RawSubject)] {
			return fmt.Errorf("the platform has no CRL of %q, and without one this server would refuse its clients: crl.pem stays as it was; if it is a root, put the root's key back for one start of the platform", c.Subject)
		}
	}
}
