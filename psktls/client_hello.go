package psktls

import (
	"crypto/tls"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// clientHello is the body of a ClientHello (RFC 8446, 4.1.2; RFC 5246, 7.4.1.2).
type clientHello struct {
	version     uint16 // legacy_version
	random      [32]byte
	sessionID   []byte
	suites      []uint16
	compression []byte

	serverName     string
	curves         []uint16
	schemes        []uint16 // signature_algorithms; written only, as no server of ours signs
	alpn           []string
	extendedMaster bool
	renegotiation  bool
	renegotiated   []byte // what renegotiation_info holds
	versions       []uint16
	cookie         []byte // of a HelloRetryRequest, TLS 1.3
	modes          []byte // psk_key_exchange_modes
	hasShares      bool
	shares         []keyShare
	earlyData      bool
	hasPSK         bool
	identities     []pskIdentity
	binders        [][]byte
	connectionID   []byte // nil if there is none, DTLS only
}

func (*clientHello) messageType() uint8 { return typeClientHello }

func (m *clientHello) appendBody(b *cryptobyte.Builder) {
	b.AddUint16(m.version)
	b.AddBytes(m.random[:])
	addVector8(b, m.sessionID)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range m.suites {
			b.AddUint16(s)
		}
	})
	addVector8(b, m.compression)
	b.AddUint16LengthPrefixed(m.appendExtensions)
}

func (m *clientHello) appendExtensions(b *cryptobyte.Builder) {
	if m.serverName != "" {
		addExtension(b, extServerName, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				b.AddUint8(0) // host_name
				addVector16(b, []byte(m.serverName))
			})
		})
	}
	if m.extendedMaster {
		addExtension(b, extExtendedMasterSecret, nothing)
	}
	if m.renegotiation {
		addRenegotiationInfo(b)
	}
	if len(m.curves) > 0 {
		addExtension(b, extSupportedGroups, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, c := range m.curves {
					b.AddUint16(c)
				}
			})
		})
		if m.extendedMaster { // TLS 1.2 is offered
			addExtension(b, extPointFormats, func(b *cryptobyte.Builder) { addVector8(b, []byte{0}) })
		}
	}
	if len(m.schemes) > 0 {
		addSchemes(b, m.schemes)
	}
	if len(m.alpn) > 0 {
		addProtocols(b, m.alpn...)
	}
	if m.connectionID != nil {
		addConnectionID(b, m.connectionID)
	}
	if len(m.versions) > 0 {
		addExtension(b, extSupportedVersions, func(b *cryptobyte.Builder) {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, v := range m.versions {
					b.AddUint16(v)
				}
			})
		})
	}
	if m.cookie != nil {
		addExtension(b, extCookie, func(b *cryptobyte.Builder) { addVector16(b, m.cookie) })
	}
	if m.hasShares {
		addExtension(b, extKeyShare, func(b *cryptobyte.Builder) {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, s := range m.shares {
					b.AddUint16(uint16(s.group))
					addVector16(b, s.data)
				}
			})
		})
	}
	if m.earlyData {
		addExtension(b, extEarlyData, nothing)
	}
	if len(m.modes) > 0 {
		addExtension(b, extPSKModes, func(b *cryptobyte.Builder) { addVector8(b, m.modes) })
	}
	if m.hasPSK {
		addExtension(b, extPreSharedKey, func(b *cryptobyte.Builder) { // must be the last
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, i := range m.identities {
					addVector16(b, i.identity)
					b.AddUint32(i.age)
				}
			})
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
				for _, binder := range m.binders {
					addVector8(b, binder)
				}
			})
		})
	}
}

// bindersLen is the length of the binders list with its own two bytes of length: what a
// ClientHello ends with and its binders do not cover (RFC 8446, 4.2.11.2).
func (m *clientHello) bindersLen() int {
	n := 2
	for _, b := range m.binders {
		n += 1 + len(b)
	}
	return n
}

// parseClientHello reads a body. The result shares its memory.
func parseClientHello(body []byte) (*clientHello, error) {
	m := &clientHello{}
	s := cryptobyte.String(body)
	var suites cryptobyte.String
	if !s.ReadUint16(&m.version) || !s.CopyBytes(m.random[:]) ||
		!readVector8(&s, &m.sessionID) || len(m.sessionID) > 32 ||
		!s.ReadUint16LengthPrefixed(&suites) || !readNumbers(suites, &m.suites) ||
		!readVector8(&s, &m.compression) || len(m.compression) == 0 {
		return nil, errMalformed
	}
	misplaced := false
	err := readExtensions(&s, func(number uint16, data *cryptobyte.String, last bool) (ok, known bool) {
		misplaced = misplaced || number == extPreSharedKey && !last
		return m.readExtension(number, data)
	})
	switch {
	case err != nil:
		return nil, err
	case misplaced:
		return nil, errPSKPlace
	}
	m.renegotiation = m.renegotiation || slices.Contains(m.suites, scsvRenegotiation)
	return m, nil
}

func (m *clientHello) readExtension(number uint16, data *cryptobyte.String) (ok, known bool) {
	switch number {
	case extServerName:
		ok = readServerName(data, &m.serverName)
	case extSupportedGroups:
		ok = readUint16s(data, &m.curves)
	case extALPN:
		ok = readProtocols(data, &m.alpn)
	case extExtendedMasterSecret:
		m.extendedMaster, ok = true, true
	case extRenegotiationInfo:
		m.renegotiation = true
		ok = readVector8(data, &m.renegotiated)
	case extSupportedVersions:
		var list cryptobyte.String
		ok = data.ReadUint8LengthPrefixed(&list) && readNumbers(list, &m.versions)
	case extConnectionID:
		ok = readVector8(data, &m.connectionID)
	case extCookie:
		ok = readVector16(data, &m.cookie) && len(m.cookie) > 0
	case extPSKModes:
		ok = readVector8(data, &m.modes) && len(m.modes) > 0
	case extKeyShare:
		m.hasShares = true
		ok = m.readShares(data)
	case extEarlyData:
		m.earlyData, ok = true, true
	case extPreSharedKey:
		m.hasPSK = true
		ok = m.readPSK(data)
	default:
		return true, false
	}
	return ok, true
}

// readServerName keeps the host name of a list that by now has room for nothing else.
func readServerName(s *cryptobyte.String, out *string) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) || list.Empty() {
		return false
	}
	for !list.Empty() {
		var kind uint8
		var name []byte
		if !list.ReadUint8(&kind) || !readVector16(&list, &name) || len(name) == 0 {
			return false
		}
		if kind == 0 {
			*out = string(name)
		}
	}
	return true
}

func (m *clientHello) readShares(s *cryptobyte.String) bool {
	var list cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&list) {
		return false
	}
	for !list.Empty() {
		var share keyShare
		if !readKeyShare(&list, &share) {
			return false
		}
		m.shares = append(m.shares, share)
	}
	return true
}

func (m *clientHello) readPSK(s *cryptobyte.String) bool {
	var identities, binders cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&identities) || identities.Empty() ||
		!s.ReadUint16LengthPrefixed(&binders) || binders.Empty() {
		return false
	}
	for !identities.Empty() {
		var i pskIdentity
		if !readVector16(&identities, &i.identity) || len(i.identity) == 0 || !identities.ReadUint32(&i.age) {
			return false
		}
		m.identities = append(m.identities, i)
	}
	for !binders.Empty() {
		var b []byte
		if !readVector8(&binders, &b) || len(b) < 32 {
			return false
		}
		m.binders = append(m.binders, b)
	}
	return true
}

// share is the client's public key for a group, nil if it sent none.
func (m *clientHello) share(group tls.CurveID) []byte {
	for _, s := range m.shares {
		if s.group == group {
			return s.data
		}
	}
	return nil
}
