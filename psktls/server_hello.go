package psktls

import (
	"golang.org/x/crypto/cryptobyte"
)

// retryRandom marks a ServerHello as HelloRetryRequest (RFC 8446, 4.1.3).
var retryRandom = [32]byte{
	0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91,
	0xC2, 0xA2, 0x11, 0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
}

// downgrade is how the random value of a server ends that could have spoken TLS 1.3 but
// speaks TLS 1.2 (RFC 8446, 4.1.3). With 0 as the last byte it means TLS 1.1.
const downgrade = "DOWNGRD\x01"

// serverHello is the body of a ServerHello or HelloRetryRequest (RFC 8446, 4.1.3, 4.1.4;
// RFC 5246, 7.4.1.3).
type serverHello struct {
	version     uint16 // legacy_version
	random      [32]byte
	sessionID   []byte
	suite       uint16
	compression uint8

	extendedMaster bool
	renegotiation  bool
	renegotiated   []byte
	pointFormats   []byte
	serverName     bool // acknowledged
	alpn           []string
	selected       uint16    // supported_versions
	share          *keyShare // key_share; of a HelloRetryRequest only the group
	cookie         []byte
	psk            *uint16
	connectionID   []byte   // nil if there is none, DTLS only
	numbers        []uint16 // all extensions that came, in order
}

func (*serverHello) messageType() uint8 { return typeServerHello }

func (m *serverHello) isRetry() bool { return m.random == retryRandom }

func (m *serverHello) appendBody(b *cryptobyte.Builder) {
	b.AddUint16(m.version)
	b.AddBytes(m.random[:])
	addVector8(b, m.sessionID)
	b.AddUint16(m.suite)
	b.AddUint8(m.compression)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		if m.extendedMaster {
			addExtension(b, extExtendedMasterSecret, nothing)
		}
		if m.renegotiation {
			addRenegotiationInfo(b)
		}
		if m.pointFormats != nil {
			addExtension(b, extPointFormats, func(b *cryptobyte.Builder) { addVector8(b, m.pointFormats) })
		}
		if m.serverName {
			addExtension(b, extServerName, nothing)
		}
		if len(m.alpn) > 0 {
			addProtocols(b, m.alpn...)
		}
		if m.connectionID != nil {
			addConnectionID(b, m.connectionID)
		}
		if m.selected != 0 {
			addExtension(b, extSupportedVersions, func(b *cryptobyte.Builder) { b.AddUint16(m.selected) })
		}
		if m.share != nil {
			addExtension(b, extKeyShare, func(b *cryptobyte.Builder) {
				b.AddUint16(uint16(m.share.group))
				if !m.isRetry() {
					addVector16(b, m.share.data)
				}
			})
		}
		if m.cookie != nil {
			addExtension(b, extCookie, func(b *cryptobyte.Builder) { addVector16(b, m.cookie) })
		}
		if m.psk != nil {
			addExtension(b, extPreSharedKey, func(b *cryptobyte.Builder) { b.AddUint16(*m.psk) })
		}
	})
}

// parseServerHello reads a body. The result shares its memory.
func parseServerHello(body []byte) (*serverHello, error) {
	m := &serverHello{}
	s := cryptobyte.String(body)
	if !s.ReadUint16(&m.version) || !s.CopyBytes(m.random[:]) ||
		!readVector8(&s, &m.sessionID) || len(m.sessionID) > 32 ||
		!s.ReadUint16(&m.suite) || !s.ReadUint8(&m.compression) {
		return nil, errMalformed
	}
	err := readExtensions(&s, func(number uint16, data *cryptobyte.String, _ bool) (ok, known bool) {
		m.numbers = append(m.numbers, number)
		return m.readExtension(number, data)
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *serverHello) readExtension(number uint16, data *cryptobyte.String) (ok, known bool) {
	switch number {
	case extExtendedMasterSecret:
		m.extendedMaster, ok = true, true
	case extRenegotiationInfo:
		m.renegotiation = true
		ok = readVector8(data, &m.renegotiated)
	case extPointFormats:
		ok = readVector8(data, &m.pointFormats) && len(m.pointFormats) > 0
	case extServerName:
		m.serverName, ok = true, true
	case extALPN:
		ok = readProtocols(data, &m.alpn) && len(m.alpn) == 1
	case extSupportedVersions:
		ok = data.ReadUint16(&m.selected)
	case extKeyShare:
		m.share = new(keyShare)
		if m.isRetry() {
			ok = data.ReadUint16((*uint16)(&m.share.group))
		} else {
			ok = readKeyShare(data, m.share)
		}
	case extConnectionID:
		ok = readVector8(data, &m.connectionID)
	case extCookie:
		ok = readVector16(data, &m.cookie) && len(m.cookie) > 0
	case extPreSharedKey:
		m.psk = new(uint16)
		ok = data.ReadUint16(m.psk)
	default:
		return true, false
	}
	return ok, true
}
