package ca

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/simroot/simroot/api"
	"github.com/simroot/simroot/internal/platform/store"
)

// CRLLifetime is from a list's thisUpdate to its nextUpdate.
const CRLLifetime = 24 * time.Hour

// Extensions of lists (RFC 5280, 5.2).
var (
	authorityKeyIdentifier   = asn1.ObjectIdentifier{2, 5, 29, 35}
	crlNumber                = asn1.ObjectIdentifier{2, 5, 29, 20}
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

// AppendCRLEntry appends the entry of a revoked certificate, in DER, to the entries of a list: its serial number
// (see [SerialText]), since when, and for which reason of RFC 5280, 5.3.1.
func AppendCRLEntry(entries []byte, serial string, since time.Time, code int) ([]byte, error) {
	number, err := hex.DecodeString(strings.Repeat("0", len(serial)%2) + serial)
	if err != nil || len(number) == 0 || len(number) > 20 {
		return nil, fmt.Errorf("ca: crl: serial number %q: want 1 to 20 bytes in hexadecimal", serial)
	}
	number = append([]byte{0}, number...)
	for len(number) > 1 && number[0] == 0 && number[1] < 0x80 { // DER: as short as can be, and positive
		number = number[1:]
	}
	since = since.UTC()
	tag, form := byte(asn1.TagUTCTime), "060102150405Z"
	if since.Year() >= 2050 { // 5.1.2.6
		tag, form = asn1.TagGeneralizedTime, "20060102150405Z"
	}
	size := 2 + len(number) + 2 + len(form)
	if code != 0 { // unspecified, which is better not said
		size += len(reasonCode)
	}
	entries = append(entries, asn1.TagSequence|constructed, byte(size), asn1.TagInteger, byte(len(number)))
	entries = append(append(entries, number...), tag, byte(len(form)))
	entries = since.AppendFormat(entries, form)
	if code != 0 {
		entries = append(entries, reasonCode[:]...)
		entries[len(entries)-1] = byte(code)
	}
	return entries, nil
}

// constructed marks the tag of what holds further elements (X.690, 8.1.2.5).
const constructed = 0x20

// reasonCode is the extensions of an entry, in DER, with the reason code in the last byte.
var reasonCode = [...]byte{
	asn1.TagSequence | constructed, 12, asn1.TagSequence | constructed, 10,
	asn1.TagOID, 3, 0x55, 0x1D, 0x15, asn1.TagOctetString, 3, asn1.TagEnum, 1, 0,
}

// toBeSignedList is a TBSCertList (RFC 5280, 5.1).
type toBeSignedList struct {
	Version                int
	Signature              pkix.AlgorithmIdentifier
	Issuer                 asn1.RawValue
	ThisUpdate, NextUpdate time.Time
	Revoked                asn1.RawValue    `asn1:"optional"`
	Extensions             []pkix.Extension `asn1:"tag:0,explicit"`
}

// CRL signs a revocation list of an issuing CA, of entries that [AppendCRLEntry] has made. With the same
// arguments it makes the same list but for the signature.
func (c *CA) CRL(of Issuing, entries []byte, number int64, from time.Time, scope Scope) ([]byte, error) {
	der, err := c.signedCRL(of, entries, number, from, scope)
	if err != nil {
		return nil, fmt.Errorf("ca: crl: %w", err)
	}
	return der, nil
}

func (c *CA) signedCRL(of Issuing, entries []byte, number int64, from time.Time, scope Scope) ([]byte, error) {
	key, err := asn1.Marshal(keyIdentifier{of.by.issuer.SubjectKeyId})
	if err != nil {
		return nil, err
	}
	numbered, err := asn1.Marshal(number)
	if err != nil {
		return nil, err
	}
	about, err := c.scope(of.Number, scope)
	if err != nil {
		return nil, err
	}
	from = from.UTC().Truncate(time.Second)
	list := toBeSignedList{
		Version: 1, Signature: pkix.AlgorithmIdentifier{Algorithm: ecdsaWithSHA256}, Issuer: asn1.RawValue{FullBytes: of.by.issuer.RawSubject},
		ThisUpdate: from, NextUpdate: from.Add(CRLLifetime),
		Extensions: append([]pkix.Extension{{Id: authorityKeyIdentifier, Value: key}, {Id: crlNumber, Value: numbered}}, about...),
	}
	if len(entries) > 0 {
		list.Revoked = asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: entries}
	}
	tbs, err := asn1.Marshal(list)
	if err != nil {
		return nil, err
	}
	return of.by.sign(tbs)
}

// keyIdentifier is an AuthorityKeyIdentifier (RFC 5280, 4.2.1.1).
type keyIdentifier struct {
	ID []byte `asn1:"tag:0"`
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
