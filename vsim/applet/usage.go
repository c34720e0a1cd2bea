package applet

import (
	"bytes"
	"strings"

	"github.com/simroot/simroot/iotsafe"
)

// openingTLS13 is how the content begins that a client signs in the CertificateVerify of
// TLS 1.3 (RFC 8446, clause 4.4.3); the hash of the handshake follows.
var openingTLS13 = []byte(strings.Repeat(" ", 64) + "TLS 1.3, client CertificateVerify\x00")

// maxOpening is how much of a text is needed to tell what it is.
const maxOpening = 98

// opens tells whether a text that begins with head is one that a key of the given usage
// may sign.
func opens(usage iotsafe.Usage, head []byte) bool {
	switch usage {
	case iotsafe.TLS12CertificateVerify:
		return opensTLS12(head)
	case iotsafe.TLS13CertificateVerify:
		return bytes.HasPrefix(head, openingTLS13)
	}
	return true
}

// opensTLS12 tells whether a text is the messages of a handshake (RFC 5246, clause 7.4.8),
// the first of which is a ClientHello: its type, its length, and the version 0303, or
// FEFD behind the longer header of DTLS (RFC 6347, clause 4.2.2).
func opensTLS12(head []byte) bool {
	const (
		clientHello = 0x01
		header      = 4
		headerDTLS  = 12
	)
	if len(head) < headerDTLS+2 || head[0] != clientHello {
		return false
	}
	return head[header] == 0x03 && head[header+1] == 0x03 || head[headerDTLS] == 0xFE && head[headerDTLS+1] == 0xFD
}

// restricted tells that a key signs nothing but the CertificateVerify of TLS, which the
// applet has to see to know it.
func restricted(o iotsafe.Object) bool {
	return o.Usage == iotsafe.TLS12CertificateVerify || o.Usage == iotsafe.TLS13CertificateVerify
}
