package psktls

import (
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// encryptedExtensions is the body of EncryptedExtensions (RFC 8446, 4.3.1).
type encryptedExtensions struct {
	serverName bool
	alpn       []string
	numbers    []uint16 // all extensions that came, in order
}

func (*encryptedExtensions) messageType() uint8 { return typeEncryptedExtensions }

func (m *encryptedExtensions) appendBody(b *cryptobyte.Builder) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		if m.serverName {
			addExtension(b, extServerName, nothing)
		}
		if len(m.alpn) > 0 {
			addProtocols(b, m.alpn...)
		}
	})
}

func parseEncryptedExtensions(body []byte) (*encryptedExtensions, error) {
	m := &encryptedExtensions{}
	s := cryptobyte.String(body)
	if s.Empty() { // here the list may be empty, but not missing
		return nil, errMalformed
	}
	err := readExtensions(&s, func(number uint16, data *cryptobyte.String, _ bool) (ok, known bool) {
		m.numbers = append(m.numbers, number)
		switch number {
		case extServerName:
			m.serverName = true
			return true, true
		case extALPN:
			return readProtocols(data, &m.alpn) && len(m.alpn) == 1, true
		}
		return true, false
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// newSessionTicket is the body of a NewSessionTicket (RFC 8446, 4.6.1). It is read, to
// keep the peer honest, and not used.
type newSessionTicket struct {
	lifetime, ageAdd uint32
	nonce, ticket    []byte
}

func parseNewSessionTicket(body []byte) (*newSessionTicket, error) {
	m := &newSessionTicket{}
	s := cryptobyte.String(body)
	if !s.ReadUint32(&m.lifetime) || !s.ReadUint32(&m.ageAdd) || !readVector8(&s, &m.nonce) ||
		!readVector16(&s, &m.ticket) || len(m.ticket) == 0 || s.Empty() {
		return nil, errMalformed
	}
	err := readExtensions(&s, func(uint16, *cryptobyte.String, bool) (ok, known bool) { return true, false })
	if err != nil {
		return nil, err
	}
	return m, nil
}

// keyUpdate is the body of a KeyUpdate (RFC 8446, 4.6.3).
type keyUpdate struct{ request bool }

func (keyUpdate) messageType() uint8 { return typeKeyUpdate }

func (m keyUpdate) appendBody(b *cryptobyte.Builder) {
	if m.request {
		b.AddUint8(1)
	} else {
		b.AddUint8(0)
	}
}

// errUpdateRequest leads to illegal_parameter, as the clause demands.
var errUpdateRequest = errors.New("request_update is neither 0 nor 1")

func parseKeyUpdate(body []byte) (keyUpdate, error) {
	if len(body) != 1 {
		return keyUpdate{}, errMalformed
	}
	if body[0] > 1 {
		return keyUpdate{}, errUpdateRequest
	}
	return keyUpdate{request: body[0] == 1}, nil
}
