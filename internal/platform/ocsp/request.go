package ocsp

import (
	"crypto"
	_ "crypto/sha1" // names issuers in requests, and protects nothing there
	_ "crypto/sha256"
	encoding "encoding/asn1"
	"errors"
	"math/big"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Bounds of a request.
const (
	// MaxRequest is the most bytes of a request.
	MaxRequest = 16 << 10
	maxAsked   = 64  // certificates in one request
	maxSerial  = 20  // bytes (RFC 5280, 4.1.2.2)
	maxNonce   = 128 // bytes, and at least one (RFC 9654, 2.1)
)

var errMalformed = errors.New("ocsp: the request is malformed")

// Object identifiers.
var (
	oidNonce  = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidBasic  = encoding.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidSHA1   = encoding.ObjectIdentifier{1, 3, 14, 3, 2, 26}
	oidSHA256 = encoding.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidECDSA  = encoding.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2} // with SHA-256
)

// certID is a certificate that is asked about (RFC 6960, 4.1.1).
type certID struct {
	raw               []byte      // as it came: it goes into the answer
	hash              crypto.Hash // 0: none that we know
	nameHash, keyHash []byte
	serial            *big.Int
}

// request is what we look at of a request.
type request struct {
	asked []certID
	nonce []byte // nil: none
}

// parse reads a request. Its signature, should it have one, is of no interest: everyone may ask.
func parse(der []byte) (request, error) {
	var r request
	var outer, tbs, list, extensions cryptobyte.String
	var extended bool
	input := cryptobyte.String(der)
	if len(der) > MaxRequest || !input.ReadASN1(&outer, asn1.SEQUENCE) || !input.Empty() ||
		!outer.ReadASN1(&tbs, asn1.SEQUENCE) || !outer.SkipOptionalASN1(tagged(0)) || !outer.Empty() ||
		!readVersion(&tbs) || !tbs.SkipOptionalASN1(tagged(1)) ||
		!tbs.ReadASN1(&list, asn1.SEQUENCE) || !tbs.ReadOptionalASN1(&extensions, &extended, tagged(2)) || !tbs.Empty() {
		return r, errMalformed
	}
	for !list.Empty() {
		var one cryptobyte.String
		if len(r.asked) == maxAsked || !list.ReadASN1(&one, asn1.SEQUENCE) {
			return r, errMalformed
		}
		id, ok := readCertID(&one)
		if !ok || !one.SkipOptionalASN1(tagged(0)) || !one.Empty() {
			return r, errMalformed
		}
		r.asked = append(r.asked, id)
	}
	if len(r.asked) == 0 {
		return r, errMalformed
	}
	if extended && !readNonce(extensions, &r.nonce) {
		return r, errMalformed
	}
	return r, nil
}

func tagged(tag uint8) asn1.Tag { return asn1.Tag(tag).Constructed().ContextSpecific() }

// readVersion reads the version if it is there. There is only one: 1, which is written 0.
func readVersion(tbs *cryptobyte.String) bool {
	version := 0
	return tbs.ReadOptionalASN1Integer(&version, tagged(0), 0) && version == 0
}

func readCertID(one *cryptobyte.String) (id certID, ok bool) {
	var element, fields, algorithm, name, key cryptobyte.String
	var oid encoding.ObjectIdentifier
	id.serial = new(big.Int)
	if !one.ReadASN1Element(&element, asn1.SEQUENCE) {
		return id, false
	}
	id.raw = element
	if !element.ReadASN1(&fields, asn1.SEQUENCE) || !fields.ReadASN1(&algorithm, asn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!fields.ReadASN1(&name, asn1.OCTET_STRING) || !fields.ReadASN1(&key, asn1.OCTET_STRING) ||
		!fields.ReadASN1Integer(id.serial) || !fields.Empty() || id.serial.BitLen() > 8*maxSerial {
		return id, false
	}
	switch {
	case oid.Equal(oidSHA1):
		id.hash = crypto.SHA1
	case oid.Equal(oidSHA256):
		id.hash = crypto.SHA256
	}
	id.nameHash, id.keyHash = name, key
	return id, true
}

// readNonce finds the nonce among the extensions. Others are left aside: none of them must be understood.
func readNonce(wrapped cryptobyte.String, nonce *[]byte) bool {
	var list cryptobyte.String
	if !wrapped.ReadASN1(&list, asn1.SEQUENCE) || !wrapped.Empty() {
		return false
	}
	for !list.Empty() {
		var extension, value, octets cryptobyte.String
		var oid encoding.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&extension, asn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			!extension.ReadOptionalASN1Boolean(&critical, asn1.BOOLEAN, false) ||
			!extension.ReadASN1(&value, asn1.OCTET_STRING) || !extension.Empty() {
			return false
		}
		if !oid.Equal(oidNonce) {
			continue
		}
		if *nonce != nil || !value.ReadASN1(&octets, asn1.OCTET_STRING) || !value.Empty() || len(octets) == 0 || len(octets) > maxNonce {
			return false
		}
		*nonce = octets
	}
	return true
}
