package ca

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// CRLLifetime is from a list's thisUpdate to its nextUpdate.
const CRLLifetime = 24 * time.Hour

// Extensions of lists (RFC 5280, 5.2).
var (
	issuingDistributionPoint = asn1.ObjectIdentifier{2, 5, 29, 28}
	deltaCRLIndicator        = asn1.ObjectIdentifier{2, 5, 29, 27}
	freshestCRL              = asn1.ObjectIdentifier{2, 5, 29, 46}
)

// Scope says which of the revoked certificates a list is about. The zero value is all of them.
type Scope struct {
	// Delta: what has changed since the complete list with the number Base.
	Delta bool
	Base  int64
	// Sharded: one shard, from 0 on.
	Sharded bool
	Shard   int
}

// Publish tells under which URLs the platform is reached from outside, the present one first. Certificates
// and lists that are made from then on say where to ask; without a URL they say nothing. Earlier URLs stay
// in the lists, for certificates that name them. It comes before anything is issued.
func (c *CA) Publish(urls ...string) { c.urls = urls }

// Published tells whether certificates name lists and responder.
func (c *CA) Published() bool { return len(c.urls) > 0 }

// ShardOf is the shard that the certificate with this serial number stands in.
func ShardOf(serial string) int {
	last, err := hex.DecodeString(serial[max(0, len(serial)-2):])
	if err != nil || len(last) == 0 {
		return 0
	}
	return int(last[0]) % store.Shards
}

// point has a certificate of a CA say where its revocation is found (RFC 5280, 4.2.1.13 and 4.2.2.1).
func (c *CA) point(template *x509.Certificate, of int) {
	if !c.Published() {
		return
	}
	template.CRLDistributionPoints = []string{c.urls[0] + api.CRLShardPath(of, ShardOf(SerialText(template.SerialNumber)))}
	template.OCSPServer = []string{c.urls[0] + api.PathOCSP}
}

// CRL signs a revocation list of an issuing CA. With the same arguments it makes the same list but for
// the signature.
func (c *CA) CRL(of Issuing, entries []x509.RevocationListEntry, number int64, from time.Time, scope Scope) ([]byte, error) {
	extensions, err := c.scope(of.Number, scope)
	if err != nil {
		return nil, fmt.Errorf("ca: crl: %w", err)
	}
	from = from.UTC().Truncate(time.Second)
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		RevokedCertificateEntries: entries,
		Number:                    big.NewInt(number),
		ThisUpdate:                from,
		NextUpdate:                from.Add(CRLLifetime),
		SignatureAlgorithm:        x509.ECDSAWithSHA256,
		ExtraExtensions:           extensions,
	}, of.by.issuer, of.by.signer)
	if err != nil {
		return nil, fmt.Errorf("ca: crl: %w", err)
	}
	return der, nil
}

// distributionPoint is a DistributionPoint (4.2.1.13) or the beginning of an IssuingDistributionPoint
// (5.2.5): both have a name under tag 0, which is a choice and so tagged explicitly.
type distributionPoint struct {
	Name fullName `asn1:"tag:0"`
}

type fullName struct {
	URIs []asn1.RawValue `asn1:"tag:0"`
}

func (c *CA) names(path string, urls []string) distributionPoint {
	var p distributionPoint
	for _, u := range urls {
		p.Name.URIs = append(p.Name.URIs, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u + path)})
	}
	return p
}

// scope is the extensions that say what a list of a CA is about.
func (c *CA) scope(of int, s Scope) ([]pkix.Extension, error) {
	switch {
	case s.Sharded:
		if !c.Published() {
			return nil, fmt.Errorf("the list of one shard names where it is found, and the platform has no public URL")
		}
		point, err := asn1.Marshal(c.names(api.CRLShardPath(of, s.Shard), c.urls))
		return []pkix.Extension{{Id: issuingDistributionPoint, Critical: true, Value: point}}, err
	case s.Delta:
		base, err := asn1.Marshal(s.Base)
		return []pkix.Extension{{Id: deltaCRLIndicator, Critical: true, Value: base}}, err
	case c.Published():
		point, err := asn1.Marshal([]distributionPoint{c.names(api.CRLDeltaPath(of), slices.Clone(c.urls[:1]))})
		return []pkix.Extension{{Id: freshestCRL, Value: point}}, err
	}
	return nil, nil
}
