package psktls

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

const (
	typeHelloVerifyRequest uint8 = 3

	// dtlsFragmentLen is the length of what stands before each fragment (RFC 6347, 4.2.2).
	dtlsFragmentLen = 12

	// maxDTLSMessage and maxDTLSAhead bound what a peer can make us keep: this many bytes in
	// a message, this many messages that come before their turn.
	maxDTLSMessage = 1 << 13
	maxDTLSAhead   = 4
)

// fragment is a part of a handshake message, all of it if it is as long as the message.
type fragment struct {
	kind   uint8
	length int // of the message
	seq    uint16
	offset int
	data   []byte
}

// cutFragment takes the first fragment from a record's content.
func cutFragment(content []byte) (f fragment, rest []byte, err error) {
	s := cryptobyte.String(content)
	var length, offset, n uint32
	if !s.ReadUint8(&f.kind) || !s.ReadUint24(&length) || !s.ReadUint16(&f.seq) ||
		!s.ReadUint24(&offset) || !s.ReadUint24(&n) || !s.ReadBytes(&f.data, int(n)) ||
		length > maxDTLSMessage || offset+n > length {
		return f, nil, errFragment
	}
	f.length, f.offset = int(length), int(offset)
	return f, s, nil
}

// appendFragmentHeader writes what stands before a fragment of n bytes.
func appendFragmentHeader(dst []byte, kind uint8, length int, seq uint16, offset, n int) []byte {
	dst = append(dst, kind, byte(length>>16), byte(length>>8), byte(length))
	dst = binary.BigEndian.AppendUint16(dst, seq)
	return append(dst, byte(offset>>16), byte(offset>>8), byte(offset), byte(n>>16), byte(n>>8), byte(n))
}

// encodeDTLS is a message as one fragment, which is how it enters the transcript (RFC
// 6347, 4.2.6).
func encodeDTLS(kind uint8, seq uint16, body []byte) []byte {
	raw := appendFragmentHeader(make([]byte, 0, dtlsFragmentLen+len(body)), kind, len(body), seq, 0, len(body))
	return append(raw, body...)
}

// assembly is a message of which parts have come.
type assembly struct {
	kind    uint8
	body    []byte
	have    []bool // for each byte
	missing int
}

// add takes a fragment in. Fragments may overlap and come twice; they must agree about what
// they are parts of.
func (a *assembly) add(f fragment) error {
	if a.body == nil {
		*a = assembly{f.kind, make([]byte, f.length), make([]bool, f.length), f.length}
	}
	if f.kind != a.kind || f.length != len(a.body) {
		return errFragment
	}
	for i, b := range f.data {
		if at := f.offset + i; !a.have[at] {
			a.have[at], a.body[at] = true, b
			a.missing--
		}
	}
	return nil
}

// helloBody is a ClientHello's body with DTLS's cookie, which stands behind the session id.
func helloBody(m *clientHello, cookie []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 256))
	m.appendBody(b)
	body, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	at := 2 + len(m.random) + 1 + len(m.sessionID)
	out := make([]byte, 0, len(body)+1+len(cookie))
	out = append(append(out, body[:at]...), byte(len(cookie)))
	return append(append(out, cookie...), body[at:]...), nil
}

// parseDTLSHello reads a ClientHello's body and its cookie.
func parseDTLSHello(body []byte) (m *clientHello, cookie []byte, err error) {
	s := cryptobyte.String(body)
	var id []byte
	if !s.Skip(2+len(clientHello{}.random)) || !readVector8(&s, &id) {
		return nil, nil, errMalformed
	}
	at := len(body) - len(s)
	if !readVector8(&s, &cookie) {
		return nil, nil, errMalformed
	}
	m, err = parseClientHello(append(body[:at:at], s...))
	return m, cookie, err
}

// parseHelloVerify reads the cookie of a HelloVerifyRequest (RFC 6347, 4.2.1).
func parseHelloVerify(body []byte) (cookie []byte, err error) {
	s := cryptobyte.String(body)
	var version uint16
	if !s.ReadUint16(&version) || version>>8 != 0xFE || !readVector8(&s, &cookie) || !s.Empty() {
		return nil, errMalformed
	}
	return cookie, nil
}
