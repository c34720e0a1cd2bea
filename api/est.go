package api

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Paths of Enrollment over Secure Transport (RFC 7030, 3.2.2). The label is the name of the fleet.
const (
	PathESTCACerts      = "/.well-known/est/{fleet}/cacerts"        // GET, public: certs-only PKCS#7
	PathESTAttributes   = "/.well-known/est/{fleet}/csrattrs"       // GET, public: CsrAttrs
	PathESTEnrol        = "/.well-known/est/{fleet}/simpleenroll"   // POST PKCS#10: certs-only PKCS#7
	PathESTReenrol      = "/.well-known/est/{fleet}/simplereenroll" // POST PKCS#10: certs-only PKCS#7
	PathESTServerKeygen = "/.well-known/est/{fleet}/serverkeygen"   // POST PKCS#10: a private key and certs-only PKCS#7
)

// EST is how the SIMs of a fleet enrol over EST. Every fleet that has these settings takes
// one-time secrets ([EnrolmentSecret]) and credentials that are in use; the rest is up to them.
type EST struct {
	// FactoryRoots are certificates in PEM. Whoever presents a certificate that leads to one
	// of them enrols as the SIM that its subject names. Empty: no factory certificate is accepted.
	FactoryRoots string `json:"factory_roots,omitempty" maxLength:"65536"`

	// ICCIDFrom is the attribute of a factory certificate's subject that is the ICCID.
	// Empty: the serial number.
	ICCIDFrom SubjectAttribute `json:"iccid_from,omitempty" enum:"serialNumber,commonName"`

	// RequireChannelBinding refuses requests that do not prove that they were made for the very
	// connection they come on (RFC 7030, 3.5). A request that carries a wrong proof is always refused.
	RequireChannelBinding bool `json:"require_channel_binding,omitempty"`

	// ServerKeygen lets the platform make the key pair and send the private key, protected
	// by TLS alone (RFC 7030, 4.4). The platform keeps no copy.
	ServerKeygen bool `json:"server_keygen,omitempty"`
}

// SubjectAttribute is an attribute of a certificate's subject (RFC 5280, appendix A.1).
type SubjectAttribute string

// The attributes that may hold an ICCID.
const (
	SerialNumberAttribute SubjectAttribute = "serialNumber"
	CommonNameAttribute   SubjectAttribute = "commonName"
)

// maxFactoryRoots bounds the factory roots of a fleet.
const maxFactoryRoots = 16

// Check tells whether the settings can be used.
func (e EST) Check() error {
	switch e.ICCIDFrom {
	case "", SerialNumberAttribute, CommonNameAttribute:
	default:
		return fmt.Errorf("iccid_from %q: want %q or %q", e.ICCIDFrom, SerialNumberAttribute, CommonNameAttribute)
	}
	if e.FactoryRoots == "" {
		return nil
	}
	_, err := e.Roots()
	return err
}

// Roots parses FactoryRoots.
func (e EST) Roots() ([]*x509.Certificate, error) {
	var roots []*x509.Certificate
	for block, rest := pem.Decode([]byte(e.FactoryRoots)); block != nil; block, rest = pem.Decode(rest) {
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("factory_roots: certificate %d: %w", len(roots)+1, err)
		}
		if !root.IsCA || !root.BasicConstraintsValid {
			return nil, fmt.Errorf("factory_roots: certificate %d (%s) is not that of a CA", len(roots)+1, root.Subject)
		}
		if roots = append(roots, root); len(roots) > maxFactoryRoots {
			return nil, fmt.Errorf("factory_roots: more than %d certificates", maxFactoryRoots)
		}
	}
	if len(roots) == 0 {
		return nil, errors.New("factory_roots: no certificate in PEM found")
	}
	return roots, nil
}

// EnrolmentSecret is a secret with which the device of a SIM enrols once over EST, as the
// password to the ICCID in HTTP Basic authentication (POST …/sims/{iccid}/enrolment-secret).
// It is shown this once: the platform keeps only a hash.
type EnrolmentSecret struct {
	ICCID   string    `json:"iccid"`
	Secret  string    `json:"secret"`
	Created time.Time `json:"created"`
}

// EnrolmentHash is what the platform keeps of an enrolment secret, and what a batch file may
// say of one ([BatchSIM]). A plain hash is no protection for a secret that can be guessed: make
// secrets of at least 16 random bytes.
func EnrolmentHash(iccid, secret string) [sha256.Size]byte {
	return sha256.Sum256([]byte("simroot-enrolment-1 " + iccid + " " + secret))
}
