package authz

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/simroot/simroot/appserver"
)

// question is who wants to come in: one of its fields is set.
type question struct {
	Certificate string `json:"certificate"`  // PEM, or DER in base64
	SHA256      string `json:"sha256"`       // of the certificate in DER, hexadecimal
	Serial      string `json:"serial"`       // of the certificate, hexadecimal
	PSKIdentity string `json:"psk_identity"` // of a pre-shared key
	ICCID       string `json:"iccid"`        // the common name of the certificate
}

// maxCertificate bounds a certificate as it is sent, in bytes. One of a SIM has less than 1000.
const maxCertificate = 16 << 10

// ask puts a question to the middleware.
func (q question) ask(m *appserver.Middleware) (appserver.Identity, error) {
	set := 0
	for _, field := range []string{q.Certificate, q.SHA256, q.Serial, q.PSKIdentity, q.ICCID} {
		if field != "" {
			set++
		}
	}
	switch {
	case set != 1:
		return appserver.Identity{}, fmt.Errorf("%w: want one of certificate, sha256, serial, psk_identity and iccid, got %d", errMalformed, set)
	case q.Certificate != "":
		der, err := readCertificate(q.Certificate)
		if err != nil {
			return appserver.Identity{}, err
		}
		return m.Lookup(sha256.Sum256(der))
	case q.SHA256 != "":
		print, err := readFingerprint(q.SHA256)
		if err != nil {
			return appserver.Identity{}, err
		}
		return m.Lookup(print)
	case q.Serial != "":
		return m.LookupSerial(q.Serial)
	case q.PSKIdentity != "":
		return m.Lookup(appserver.PSKFingerprint([]byte(q.PSKIdentity)))
	}
	return askSIM(m, q.ICCID)
}

// askSIM answers for a SIM of which only the number is known: it may come in if it has a certificate that may.
func askSIM(m *appserver.Middleware, iccid string) (id appserver.Identity, err error) {
	err = appserver.ErrUnknown
	for _, s := range m.StandingsOf(iccid) {
		if s.PSKIdentity != "" {
			continue
		}
		if s.Refused == nil {
			return s.Identity, nil
		}
		id, err = s.Identity, s.Refused
	}
	return id, err
}

// readCertificate returns the DER of the first certificate in a text. Whether it is one is no question here:
// its hash tells whether the platform has issued it.
func readCertificate(text string) ([]byte, error) {
	if len(text) > maxCertificate {
		return nil, fmt.Errorf("%w: the certificate has more than %d bytes", errMalformed, maxCertificate)
	}
	if strings.Contains(text, "-----BEGIN") {
		block, _ := pem.Decode([]byte(strings.TrimSpace(text)))
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("%w: the certificate is not PEM", errMalformed)
		}
		return block.Bytes, nil
	}
	first, _, _ := strings.Cut(text, ",") // a chain, the client's own first
	der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(first), ""))
	if err != nil || len(der) == 0 {
		return nil, fmt.Errorf("%w: the certificate is neither PEM nor base64", errMalformed)
	}
	return der, nil
}

// readFingerprint reads a SHA-256 as programs write it: either case, with colons or without.
func readFingerprint(text string) (print appserver.Fingerprint, err error) {
	const longest = 3 * len(print)
	if len(text) > longest {
		return print, fmt.Errorf("%w: the fingerprint is no SHA-256", errMalformed)
	}
	sum, err := hex.DecodeString(strings.ReplaceAll(text, ":", ""))
	switch {
	case err != nil:
		return print, fmt.Errorf("%w: the fingerprint is not hexadecimal", errMalformed)
	case len(sum) == 20:
		return print, fmt.Errorf("%w: a SHA-1 fingerprint names no certificate here: send the certificate, its SHA-256 or its serial number", errMalformed)
	case len(sum) != len(print):
		return print, fmt.Errorf("%w: the fingerprint is no SHA-256", errMalformed)
	}
	return appserver.Fingerprint(sum), nil
}
