package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.step.sm/crypto/x509util"
	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// Lifetimes of what the CA signs by itself.
const (
	serverLifetime    = 90 * 24 * time.Hour
	responderLifetime = 7 * 24 * time.Hour
)

// Subject is who the certificate of a SIM speaks of.
type Subject struct {
	ICCID        string
	Organization string // may be empty
	Fleet        string // may be empty
}

// Prepared is a certificate that has passed the linter and is about to be signed.
type Prepared struct {
	Serial              string // hexadecimal
	TBS                 []byte // the bytes that will be signed
	NotBefore, NotAfter time.Time

	by   *generation
	step int64 // of the line
}

// On fails with [ErrMoved] if the line of CAs has moved on since the certificate was prepared, as a transaction
// sees it: its CA may have stopped, and have counted what it has issued. Whatever stores or records
// a certificate that is to leave the platform asks first.
func (p *Prepared) On(tx store.Tx) error { return on(tx, p.step) }

// IssueSIM lints and signs the certificate of a SIM and returns its DER.
func (c *CA) IssueSIM(s Subject, key crypto.PublicKey, notBefore, notAfter time.Time) ([]byte, error) {
	p, err := c.PrepareSIM(s, key, notBefore, notAfter)
	if err != nil {
		return nil, err
	}
	return c.Sign(p)
}

// PrepareSIM makes the certificate of a SIM and lints it, or takes a mould that was linted. Its times
// have whole seconds, and it ends no later than the issuing CA.
func (c *CA) PrepareSIM(s Subject, key crypto.PublicKey, notBefore, notAfter time.Time) (*Prepared, error) {
	l := c.line.Load()
	return c.prepareBy(l.issuing, l.step, s.template(key, notBefore, notAfter), func(template *x509.Certificate) ([]byte, error) {
		return l.issuing.moulds.prepare(s, template, l.issuing.linter)
	})
}

// template is the certificate of a SIM, as far as it does not depend on the CA.
func (s Subject) template(key crypto.PublicKey, notBefore, notAfter time.Time) *x509.Certificate {
	name := pkix.Name{CommonName: s.ICCID, SerialNumber: s.ICCID}
	if s.Organization != "" {
		name.Organization = []string{s.Organization}
	}
	if s.Fleet != "" {
		name.OrganizationalUnit = []string{s.Fleet}
	}
	return &x509.Certificate{
		Subject:     name,
		PublicKey:   key,
		NotBefore:   notBefore,
		NotAfter:    notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// IssueServer lints and signs the certificate of a server for 90 days and returns its
// DER. Names are DNS names and IP addresses.
func (c *CA) IssueServer(names []string, key crypto.PublicKey) ([]byte, error) {
	p, err := c.PrepareServer(names, key)
	if err != nil {
		return nil, err
	}
	return c.Sign(p)
}

// PrepareServer makes the certificate of a server and lints it.
func (c *CA) PrepareServer(names []string, key crypto.PublicKey) (*Prepared, error) {
	if len(names) == 0 {
		return nil, errors.New("ca: a server certificate needs at least one name")
	}
	template := &x509.Certificate{
		PublicKey:   key,
		NotBefore:   c.now().Add(-backdate),
		NotAfter:    c.now().Add(serverLifetime),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	if len(names[0]) <= 64 { // ub-common-name, RFC 5280, appendix A
		template.Subject.CommonName = names[0]
	}
	return c.prepare(template)
}

// ocspNoCheck says that nobody need ask whether a responder's certificate is revoked
// (RFC 6960, 4.2.2.2.1): it lives for days.
var ocspNoCheck = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}

// IssueResponder lints and signs the certificate of an OCSP responder for a week. It is one of the CA about
// whose certificates the responder is asked (RFC 6960, 4.2.2.2).
func (c *CA) IssueResponder(of Issuing, key crypto.PublicKey, now time.Time) (*x509.Certificate, error) {
	p, err := c.prepareBy(of.by, of.step, &x509.Certificate{
		Subject:         pkix.Name{CommonName: "OCSP responder of " + of.Certificate.Subject.CommonName},
		PublicKey:       key,
		NotBefore:       now.Add(-backdate),
		NotAfter:        now.Add(responderLifetime),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		ExtraExtensions: []pkix.Extension{ocspNoCheck},
	}, of.by.linter.check)
	if err != nil {
		return nil, err
	}
	der, err := c.Sign(p)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// PrepareAppServer makes the certificate by which an application server identifies itself to
// the platform, and lints it. Its one subjectAltName is a URI that begins with
// [api.AppServerURI], which no certificate of a SIM has.
func (c *CA) PrepareAppServer(id, name string, key crypto.PublicKey, notBefore, notAfter time.Time) (*Prepared, error) {
	return c.prepare(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, OrganizationalUnit: []string{"application server"}},
		URIs:        []*url.URL{{Scheme: "urn", Opaque: strings.TrimPrefix(api.AppServerURI, "urn:") + id}},
		PublicKey:   key,
		NotBefore:   notBefore,
		NotAfter:    notAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
}

// prepare completes a template and lints it.
func (c *CA) prepare(template *x509.Certificate) (*Prepared, error) {
	l := c.line.Load()
	return c.prepareBy(l.issuing, l.step, template, l.issuing.linter.check)
}

// prepareBy completes a template and has it checked, which returns the part to be signed.
func (c *CA) prepareBy(g *generation, step int64, template *x509.Certificate, check func(*x509.Certificate) ([]byte, error)) (*Prepared, error) {
	if key, ok := template.PublicKey.(*ecdsa.PublicKey); !ok || key == nil || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("ca: a public key of type %T: want one on P-256", template.PublicKey)
	}
	template.NotBefore = template.NotBefore.UTC().Truncate(time.Second)
	template.NotAfter = template.NotAfter.UTC().Truncate(time.Second)
	if template.NotAfter.After(g.issuer.NotAfter) {
		template.NotAfter = g.issuer.NotAfter
	}
	if !template.NotBefore.Before(template.NotAfter) {
		return nil, fmt.Errorf("ca: a certificate from %s to %s would never be valid", template.NotBefore, template.NotAfter)
	}
	serial, err := newSerial(g.number)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	template.SerialNumber = serial
	if !slices.Contains(template.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
		c.point(template, g.number)
	}
	template.SignatureAlgorithm = x509.ECDSAWithSHA256
	if template.SubjectKeyId, err = x509util.GenerateSubjectKeyID(template.PublicKey); err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	tbs, err := check(template)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return &Prepared{
		Serial: SerialText(serial), TBS: tbs,
		NotBefore: template.NotBefore, NotAfter: template.NotAfter, by: g, step: step,
	}, nil
}

// Sign signs a certificate that was prepared, the very bytes that were linted, and returns its DER.
func (c *CA) Sign(p *Prepared) ([]byte, error) {
	der, err := p.by.sign(p.TBS)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return der, nil
}

// sign signs what is to be signed of a certificate or a revocation list, and puts both together.
func (g *generation) sign(tbs []byte) ([]byte, error) {
	digest := sha256.Sum256(tbs)
	signature, err := g.signer.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	// A key management service may fail in ways that it does not notice. A key in this process was held
	// against the certificate when it was opened.
	if _, here := g.signer.(*ecdsa.PrivateKey); !here {
		if key, ok := g.issuer.PublicKey.(*ecdsa.PublicKey); !ok || !ecdsa.VerifyASN1(key, digest[:], signature) {
			return nil, errors.New("the signature is not one of the issuing CA's key")
		}
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+100))
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(ecdsaWithSHA256) })
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// Signed tells whether one of the issuing CAs, the present one or one before it that is still trusted, has
// signed a certificate.
func (c *CA) Signed(certificate *x509.Certificate) bool {
	for _, g := range c.line.Load().all() {
		if certificate.CheckSignatureFrom(g.issuer) == nil {
			return true
		}
	}
	return false
}

// Check tells why the CA could not issue now: its certificate has ended, or its key does not sign. The one
// before must sign too, what its certificates are revoked by.
func (c *CA) Check(now time.Time) error {
	l := c.line.Load()
	g := l.issuing
	if l.before != nil && l.before.lacks != nil {
		return fmt.Errorf("ca: %w", l.before.lacks)
	}
	if now.After(g.issuer.NotAfter) {
		return fmt.Errorf("ca: the issuing CA ended at %s", g.issuer.NotAfter)
	}
	var digest [32]byte
	if _, err := g.signer.Sign(rand.Reader, digest[:], crypto.SHA256); err != nil {
		return fmt.Errorf("ca: the issuing key does not sign: %w", err)
	}
	return nil
}

// ecdsaWithSHA256 is the one signature algorithm (RFC 5758, 3.2).
var ecdsaWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}

// SerialText is a serial number as the contract writes it: hexadecimal, lower case.
func SerialText(n *big.Int) string { return fmt.Sprintf("%x", n) }

// ParseSerial reads what SerialText wrote.
func ParseSerial(s string) (*big.Int, error) {
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		return nil, fmt.Errorf("ca: serial number %q is not hexadecimal", s)
	}
	return n, nil
}
