package psktls

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// maxChain is how many certificates a server may send.
const maxChain = 16

// What certificate messages fail with besides. It leads to illegal_parameter.
var errLongChain = errors.New("more certificates than any chain needs")

// certificateRequest is the body of a CertificateRequest (RFC 8446, 4.3.2). Of its extensions,
// those that are not signature_algorithms are read past: a SIM has one certificate to show.
type certificateRequest struct {
	context []byte
	schemes []uint16 // nil if missing
}

func (*certificateRequest) messageType() uint8 { return typeCertificateRequest }

func (m *certificateRequest) appendBody(b *cryptobyte.Builder) {
	addVector8(b, m.context)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		if len(m.schemes) > 0 {
			addSchemes(b, m.schemes)
		}
	})
}

func parseCertificateRequest(body []byte) (*certificateRequest, error) {
	m := &certificateRequest{}
	s := cryptobyte.String(body)
	if !readVector8(&s, &m.context) || s.Empty() {
		return nil, errMalformed
	}
	err := readExtensions(&s, func(number uint16, data *cryptobyte.String, _ bool) (ok, known bool) {
		if number == extSignatureAlgorithms {
			return readUint16s(data, &m.schemes), true
		}
		return true, false
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// certificateMessage is the body of a Certificate (RFC 8446, 4.4.2).
type certificateMessage struct {
	context []byte
	chain   [][]byte // DER, the peer's own first
	numbers []uint16 // extensions of any of them
}

func (*certificateMessage) messageType() uint8 { return typeCertificate }

func (m *certificateMessage) appendBody(b *cryptobyte.Builder) {
	addVector8(b, m.context)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, der := range m.chain {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
			b.AddUint16(0) // no extensions
		}
	})
}

// parseCertificate reads a body. The result shares its memory.
func parseCertificate(body []byte) (*certificateMessage, error) {
	m := &certificateMessage{}
	s := cryptobyte.String(body)
	var list cryptobyte.String
	if !readVector8(&s, &m.context) || !s.ReadUint24LengthPrefixed(&list) || !s.Empty() {
		return nil, errMalformed
	}
	for !list.Empty() {
		if len(m.chain) == maxChain {
			return nil, errLongChain
		}
		var der, extensions cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) || der.Empty() || !list.ReadUint16LengthPrefixed(&extensions) {
			return nil, errMalformed
		}
		err := readExtensionList(extensions, func(number uint16, _ *cryptobyte.String, _ bool) (ok, known bool) {
			m.numbers = append(m.numbers, number)
			return true, false
		})
		if err != nil {
			return nil, err
		}
		m.chain = append(m.chain, der)
	}
	return m, nil
}

// certificateVerify is the body of a CertificateVerify (RFC 8446, 4.4.3).
type certificateVerify struct {
	scheme    uint16
	signature []byte
}

func (*certificateVerify) messageType() uint8 { return typeCertificateVerify }

func (m *certificateVerify) appendBody(b *cryptobyte.Builder) {
	b.AddUint16(m.scheme)
	addVector16(b, m.signature)
}

func parseCertificateVerify(body []byte) (*certificateVerify, error) {
	m := &certificateVerify{}
	s := cryptobyte.String(body)
	if !s.ReadUint16(&m.scheme) || !readVector16(&s, &m.signature) || len(m.signature) == 0 || !s.Empty() {
		return nil, errMalformed
	}
	return m, nil
}
