package psktls

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// Handshake message types (RFC 8446, 4; RFC 5246, 7.4).
const (
	typeHelloRequest        uint8 = 0
	typeClientHello         uint8 = 1
	typeServerHello         uint8 = 2
	typeNewSessionTicket    uint8 = 4
	typeEndOfEarlyData      uint8 = 5
	typeEncryptedExtensions uint8 = 8
	typeCertificate         uint8 = 11
	typeServerKeyExchange   uint8 = 12
	typeCertificateRequest  uint8 = 13
	typeServerHelloDone     uint8 = 14
	typeCertificateVerify   uint8 = 15
	typeClientKeyExchange   uint8 = 16
	typeFinished            uint8 = 20
	typeKeyUpdate           uint8 = 24
	typeMessageHash         uint8 = 254
)

// maxHandshake bounds the body of a handshake message in bytes. Nothing that this package
// expects comes near it, but a peer may send tickets.
const maxHandshake = 1 << 16

// handshakeHeaderLen is the length of type and length before a body, in TLS. DTLS
// has headers of its own around the same bodies.
const handshakeHeaderLen = 4

// A message is the body of a handshake message that can be written.
type message interface {
	messageType() uint8
	appendBody(b *cryptobyte.Builder)
}

// encode is a message with its TLS header.
func encode(m message) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 256))
	b.AddUint8(m.messageType())
	b.AddUint24LengthPrefixed(m.appendBody)
	return b.Bytes()
}

// Parsers of bodies fail with one of these. The alert follows from which.
var (
	errMalformed = errors.New("malformed") // decode_error
	errRepeated  = errors.New("an extension occurs twice")
	errPSKPlace  = errors.New("pre_shared_key is not the last extension")
)

// unreadable is the failure for a message that could not be parsed.
func unreadable(name string, err error) error {
	if errors.Is(err, errMalformed) {
		return fail(AlertDecodeError, "%s: %w", name, err)
	}
	return fail(AlertIllegalParameter, "%s: %w", name, err)
}

// Readers of length-prefixed bytes that do not copy.

func readVector8(s *cryptobyte.String, out *[]byte) bool {
	return s.ReadUint8LengthPrefixed((*cryptobyte.String)(out))
}

func readVector16(s *cryptobyte.String, out *[]byte) bool {
	return s.ReadUint16LengthPrefixed((*cryptobyte.String)(out))
}

func addVector8(b *cryptobyte.Builder, v []byte) {
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}

func addVector16(b *cryptobyte.Builder, v []byte) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(v) })
}
