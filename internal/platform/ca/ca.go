package ca

import (
	"crypto"
	"crypto/x509"
	"time"
)

type CA struct{}
type Subject struct{ ICCID, Organization, Fleet string }

func Init(dir string) error        { panic("soon") }
func Open(dir string) (*CA, error) { panic("soon") }
func (c *CA) IssueSIM(s Subject, key crypto.PublicKey, notBefore, notAfter time.Time) ([]byte, error) {
	panic("soon")
}

// IssueServer signs the certificate of an application server: names are DNS names and IP addresses.
func (c *CA) IssueServer(names []string, key crypto.PublicKey) ([]byte, error) { panic("soon") }
func (c *CA) Anchors() []byte                                                  { panic("soon") } // PEM
func (c *CA) Issuers() []byte                                                  { panic("soon") } // PEM
func (c *CA) Root() *x509.Certificate                                          { panic("soon") }
func (c *CA) CRL(entries []x509.RevocationListEntry, number int64, now time.Time) ([]byte, error) {
	panic("soon")
}
