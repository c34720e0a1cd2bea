package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"sync"

	lintx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3/lint"
	_ "github.com/zmap/zlint/v3/lints/community" // what went wrong in the field
	_ "github.com/zmap/zlint/v3/lints/rfc"       // RFC 5280 and its kin
)

// lints are those that make sense for a private PKI: the RFCs' and the community's. The
// rules of browsers and of the CA/Browser Forum are about names that SIMs do not have.
var lints = sync.OnceValue(func() []*lint.CertificateLint {
	all := lint.GlobalRegistry().CertificateLints()
	var chosen []*lint.CertificateLint
	for _, source := range []lint.LintSource{lint.RFC5280, lint.RFC3279, lint.RFC5480, lint.RFC5891, lint.RFC8813, lint.Community} {
		for _, one := range all.BySource(source) {
			if one.Name != foreignCA {
				chosen = append(chosen, one)
			}
		}
	}
	return chosen
})

// foreignCA is the lint that asks whether a certificate was signed by one public CA whose key
// was stolen. That cannot be, and asking costs ten times as much as all other lints together.
const foreignCA = "e_cert_issued_by_compromised_emudhra_ca"

// smallKeyBits is how small the number is that a private key must not be. Looking for them costs a number
// of point additions that grows with it; those that were seen in the field had up to 8 bits.
const smallKeyBits = 8

// settings of lints.
var settings = fmt.Sprintf("[e_ecdsa_small_private_key]\nBits = %d\n", smallKeyBits)

// linter checks what a CA is about to sign. It signs with a key of its own that is worth
// nothing, so that nothing of the CA is out before all is well.
type linter struct {
	parent *x509.Certificate
	key    *ecdsa.PrivateKey
	config lint.Configuration
}

func newLinter(parent *x509.Certificate) (*linter, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	disguised := *parent
	disguised.PublicKey = &key.PublicKey
	config, err := lint.NewConfigFromString(settings)
	return &linter{parent: &disguised, key: key, config: config}, err
}

// check lints a template and returns its to-be-signed part, which depends on nothing
// but the template and the name and key identifier of the parent.
func (l *linter) check(template *x509.Certificate) (tbs []byte, err error) {
	der, err := x509.CreateCertificate(rand.Reader, template, l.parent, template.PublicKey, l.key)
	if err != nil {
		return nil, err
	}
	parsed, err := lintx509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be read: %v", ErrLint, err)
	}
	for _, one := range lints() {
		if r := one.Execute(parsed, l.config); r.Status == lint.Error || r.Status == lint.Fatal {
			return nil, fmt.Errorf("%w: %s: %s %s", ErrLint, one.Name, one.Description, r.Details)
		}
	}
	return parsed.RawTBSCertificate, nil
}

// checkSelfSigned lints a root, whose subject and issuer have to be one.
func (l *linter) checkSelfSigned(template *x509.Certificate) error {
	own := *template
	own.PublicKey = &l.key.PublicKey
	_, err := l.check(&own)
	return err
}
