package explain

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/asn1"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// words are the meanings of the values of one field.
type words map[int]string

// number reads a big-endian value of a few bytes; -1 if there are none or too many.
func number(v []byte) int {
	if len(v) == 0 || len(v) > 4 {
		return -1
	}
	n := 0
	for _, b := range v {
		n = n<<8 | int(b)
	}
	return n
}

// oneOf reads a value that is one of several.
func oneOf(meanings words) decoder {
	return func(v []byte) string { return meanings[number(v)] }
}

// maskOf reads a value whose bits have meanings of their own.
func maskOf(meanings words) decoder {
	return func(v []byte) string {
		n := number(v)
		switch {
		case n < 0:
			return ""
		case n == 0:
			return "none"
		}
		var all []string
		for bit := 1; bit <= n; bit <<= 1 {
			if n&bit == 0 {
				continue
			}
			meaning, known := meanings[bit]
			if !known {
				return ""
			}
			all = append(all, meaning)
		}
		return strings.Join(all, ", ")
	}
}

// amount reads a number of things.
func amount(of string) decoder {
	return func(v []byte) string {
		if n := number(v); n >= 0 {
			return strings.TrimSpace(fmt.Sprintf("%d %s", n, of))
		}
		return ""
	}
}

// anything is a value of which only the bytes are of interest.
func anything(v []byte) string { return count(len(v)) }

// identifier reads an identifier: opaque bytes, which are often text.
func identifier(v []byte) string {
	if err := iotsafe.ID(v).Check(); err != nil {
		return ""
	}
	if len(v) > 1 && printable(v) {
		return fmt.Sprintf("%q", v)
	}
	return "identifier"
}

// label reads text.
func label(v []byte) string {
	if printable(v) {
		return fmt.Sprintf("%q", v)
	}
	return "not text"
}

func printable(v []byte) bool {
	if len(v) == 0 || !utf8.Valid(v) {
		return false
	}
	return bytes.IndexFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// point reads an elliptic curve point.
func point(v []byte) string {
	if len(v) != 65 || v[0] != 0x04 {
		return ""
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), v); err != nil {
		return "uncompressed point, not of P-256"
	}
	return "uncompressed point of P-256"
}

// signature reads a signature in the forms found in the field.
func signature(v []byte) string {
	switch {
	case len(v) == 0:
		return "empty: no signature"
	case len(v) == 64:
		return "r and s, 32 bytes each"
	case len(v) == 16:
		return "AES-CMAC"
	case len(v) == 256:
		return "RSA-2048"
	case v[0] == 0x30:
		return "r and s in DER"
	}
	return ""
}

// hashState reads the chaining value of a hash.
func hashState(v []byte) string {
	switch len(v) {
	case 32:
		return "state of SHA-256"
	case 64:
		return "state of SHA-384 or SHA-512"
	}
	return ""
}

// digest reads a finished hash.
func digest(v []byte) string {
	switch len(v) {
	case 32:
		return "32 bytes, as of SHA-256"
	case 48:
		return "48 bytes, as of SHA-384"
	case 64:
		return "64 bytes, as of SHA-512"
	}
	return count(len(v))
}

// aid reads the name of an application.
func aid(v []byte) string {
	if name := applicationOf(v).name; name != "" {
		return name
	}
	if len(v) < 5 || len(v) > 16 {
		return "no AID: it has 5 to 16 bytes"
	}
	return "an application"
}

// application is what an AID stands for.
type application struct {
	name   string
	prefix string // of its AID
	domain bool   // a security domain
}

var applications = []application{
	{"IoT SAFE applet", string(iotsafe.AIDs[0]), false},
	{"IoT SAFE applet, older", string(iotsafe.AIDs[1]), false},
	{"IoT SAFE applet, Thales", string(iotsafe.AIDs[2]), false},
	{"issuer security domain", "\xA0\x00\x00\x01\x51\x00\x00\x00", true},
	{"issuer security domain, older", "\xA0\x00\x00\x00\x03\x00\x00\x00", true},
	{"security domain load file or module", "\xA0\x00\x00\x01\x51\x53\x50", false},
	{"access rules (ARA-M)", "\xA0\x00\x00\x01\x51\x41\x43\x4C\x00", false},
	{"ISD-R of an eUICC", "\xA0\x00\x00\x05\x59\x10\x10\xFF\xFF\xFF\xFF\x89\x00\x00\x01\x00", true},
	{"ECASD of an eUICC", "\xA0\x00\x00\x05\x59\x10\x10\xFF\xFF\xFF\xFF\x89\x00\x00\x02\x00", true},
	{"USIM", "\xA0\x00\x00\x00\x87\x10\x02", false},
	{"ISIM", "\xA0\x00\x00\x00\x87\x10\x04", false},
}

func applicationOf(aid []byte) application {
	for _, a := range applications {
		if bytes.HasPrefix(aid, []byte(a.prefix)) {
			return a
		}
	}
	return application{}
}

// files are the elementary and dedicated files that the walk through a SIM meets.
var files = words{
	0x3F00: "MF, the root", 0x2F00: "EF.DIR, the list of applications",
	efICCID: "EF.ICCID, the SIM's number", 0x2F05: "EF.PL, preferred languages", 0x2F08: "EF.UMPC",
	0x2F06: "EF.ARR", 0x7FFF: "ADF of the selected application", 0x6F07: "EF.IMSI", 0x7F20: "DF GSM", 0x7F10: "DF TELECOM",
}

const efICCID = 0x2FE2

func fileIdentifier(v []byte) string {
	if name := files[number(v)]; name != "" {
		return name
	}
	return "a file"
}

// iccid reads EF.ICCID and what else carries the SIM's number in that form.
func iccid(v []byte) string {
	n, err := card.DecodeICCID(v)
	if err != nil {
		return count(len(v))
	}
	return "ICCID " + string(n)
}

// objectIdentifier reads an ASN.1 object identifier's content.
func objectIdentifier(v []byte) string {
	var oid asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(tlv.Append(nil, 0x06, v...), &oid); err != nil {
		return ""
	}
	return oid.String()
}
