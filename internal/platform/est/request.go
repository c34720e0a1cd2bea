package est

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/simroot/simroot/internal/platform/refuse"
)

// MaxRequest bounds the body of a request, in bytes of base64. A PKCS#10 request for a key on
// P-256 has a few hundred.
const MaxRequest = 16 << 10

// Object identifiers of what may stand in a request.
var (
	oidChallengePassword    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 7}
	oidSMIMECapabilities    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 15}
	oidDecryptKey           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 37} // RFC 7030, 4.4.1.1
	oidAsymmetricDecryptKey = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 54} // RFC 7030, 4.4.1.2
	oidSubjectAltName       = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidCommonName           = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSerialNumber         = asn1.ObjectIdentifier{2, 5, 4, 5}
)

// request is a PKCS#10 request that proves possession of its key.
type request struct {
	key       *ecdsa.PublicKey
	subject   pkix.Name
	altName   bool
	challenge *string // challengePassword, if it has one
	encrypt   bool    // asks for an encrypted private key
}

// parseRequest reads a request (RFC 2986) and checks its form, its key and its signature. What it
// refuses it names by the field.
func parseRequest(body []byte) (*request, error) {
	if len(body) > MaxRequest {
		return nil, refuse.BadRequest("csr: %d bytes: want at most %d", len(body), MaxRequest)
	}
	content, err := decode(body)
	if err != nil {
		return nil, refuse.BadRequest("csr: not base64 (RFC 8951, 2): send the request's DER in base64, without PEM's first and last line: %v", err)
	}
	parsed, err := x509.ParseCertificateRequest(content)
	if err != nil {
		return nil, refuse.BadRequest("csr: not a PKCS#10 request in DER: %v", err)
	}
	r := &request{subject: parsed.Subject}
	for _, e := range parsed.Extensions {
		r.altName = r.altName || e.Id.Equal(oidSubjectAltName)
	}
	var ok bool
	if r.key, ok = parsed.PublicKey.(*ecdsa.PublicKey); !ok || r.key.Curve != elliptic.P256() {
		return nil, refuse.BadRequest("csr.subjectPublicKeyInfo: a key of the type %s: want one on P-256", parsed.PublicKeyAlgorithm)
	}
	switch parsed.SignatureAlgorithm {
	case x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
	default:
		return nil, refuse.BadRequest("csr.signatureAlgorithm: %s: want ECDSA with SHA-256", parsed.SignatureAlgorithm)
	}
	if err := parsed.CheckSignature(); err != nil {
		return nil, refuse.BadRequest("csr.signature: it does not prove possession of the request's key: %v", err)
	}
	if err := r.readAttributes(parsed.RawTBSCertificateRequest); err != nil {
		return nil, refuse.BadRequest("csr.attributes: %v", err)
	}
	return r, nil
}

var errAttributes = errors.New("they are not well-formed DER")

// readAttributes reads the attributes that package x509 leaves aside.
func (r *request) readAttributes(tbs []byte) error {
	input := cryptobyte.String(tbs)
	var info, attributes cryptobyte.String
	if !input.ReadASN1(&info, der.SEQUENCE) || !info.SkipASN1(der.INTEGER) || // version
		!info.SkipASN1(der.SEQUENCE) || !info.SkipASN1(der.SEQUENCE) { // subject, subjectPublicKeyInfo
		return errAttributes
	}
	var present bool
	if !info.ReadOptionalASN1(&attributes, &present, der.Tag(0).ContextSpecific().Constructed()) {
		return errAttributes
	}
	for !attributes.Empty() {
		var attribute, values cryptobyte.String
		var id asn1.ObjectIdentifier
		if !attributes.ReadASN1(&attribute, der.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&id) || !attribute.ReadASN1(&values, der.SET) {
			return errAttributes
		}
		switch {
		case id.Equal(oidChallengePassword):
			text, err := directoryString(values)
			if err != nil || r.challenge != nil {
				return errors.New("challengePassword: want one text (RFC 2985, 5.4.1)")
			}
			r.challenge = &text
		case id.Equal(oidDecryptKey), id.Equal(oidAsymmetricDecryptKey), id.Equal(oidSMIMECapabilities):
			r.encrypt = true
		}
	}
	return nil
}

// directoryString reads a SET of one text.
func directoryString(values cryptobyte.String) (string, error) {
	var text cryptobyte.String
	var tag der.Tag
	if !values.ReadAnyASN1(&text, &tag) || !values.Empty() {
		return "", errAttributes
	}
	switch tag {
	case der.UTF8String, der.PrintableString, der.T61String, der.IA5String:
		return string(text), nil
	}
	return "", errAttributes
}

// speaksOf refuses a request whose subject names another SIM, and names that the platform does
// not give: the subject comes from the fleet, and the request may at most agree.
func (r *request) speaksOf(iccid string) error {
	for _, attribute := range r.subject.Names {
		text, _ := attribute.Value.(string)
		for id, name := range map[string]string{oidCommonName.String(): "commonName", oidSerialNumber.String(): "serialNumber"} {
			if attribute.Type.String() == id && text != iccid {
				return refuse.BadRequest("csr.subject.%s: %q is not the SIM that has identified itself, %s: give its ICCID, or leave the subject empty", name, text, iccid)
			}
		}
	}
	if r.altName {
		return refuse.BadRequest("csr.subjectAltName: the certificates of this fleet have none: leave it out")
	}
	return nil
}

// partOf tells whether all attributes of a name are in another one with the same text, however it
// is encoded. RFC 7030 (4.2.2) has a renewal repeat the subject; a SIM that names itself and
// leaves the rest to the fleet says nothing else.
func partOf(name, whole pkix.Name) bool {
	for _, a := range name.Names {
		if !slices.ContainsFunc(whole.Names, func(b pkix.AttributeTypeAndValue) bool { return a.Type.Equal(b.Type) && a.Value == b.Value }) {
			return false
		}
	}
	return true
}

// attributes is what a request should hold beside its key, as CsrAttrs (RFC 7030, 4.5.2): the key
// is on P-256 and signs with SHA-256 and, if the fleet requires it, there is a channel binding.
func attributes(binding bool) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		if binding {
			b.AddASN1ObjectIdentifier(oidChallengePassword)
		}
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}) // id-ecPublicKey
			b.AddASN1(der.SET, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}) // secp256r1
			})
		})
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}) // ecdsa-with-SHA256
	})
	return b.Bytes()
}
