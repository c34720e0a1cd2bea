package psktls

import (
	"crypto/tls"
	"errors"

	"golang.org/x/crypto/cryptobyte"
)

// namedCurve is the only way to name a group in TLS 1.2 (RFC 8422, 5.4).
const namedCurve uint8 = 3

// errCurveType leads to illegal_parameter.
var errCurveType = errors.New("the ECDH parameters do not name a group")

// serverKeyExchange is the body of a ServerKeyExchange: an identity hint (RFC 4279, 2),
// and for ECDHE_PSK the server's ephemeral key (RFC 5489, 2).
type serverKeyExchange struct {
	hint  []byte
	share *keyShare // nil in plain PSK
}

func (*serverKeyExchange) messageType() uint8 { return typeServerKeyExchange }

func (m *serverKeyExchange) appendBody(b *cryptobyte.Builder) {
	addVector16(b, m.hint)
	if m.share != nil {
		b.AddUint8(namedCurve)
		b.AddUint16(uint16(m.share.group))
		addVector8(b, m.share.data)
	}
}

// parseServerKeyExchange reads a body of the kind that the suite asks for.
func parseServerKeyExchange(body []byte, ecdhe bool) (*serverKeyExchange, error) {
	m := &serverKeyExchange{}
	s := cryptobyte.String(body)
	if !readVector16(&s, &m.hint) {
		return nil, errMalformed
	}
	if ecdhe {
		var kind uint8
		var group uint16
		var data []byte
		if s.ReadUint8(&kind) && kind != namedCurve {
			return nil, errCurveType
		}
		if !s.ReadUint16(&group) || !readVector8(&s, &data) || len(data) == 0 {
			return nil, errMalformed
		}
		m.share = &keyShare{group: tls.CurveID(group), data: data}
	}
	if !s.Empty() {
		return nil, errMalformed
	}
	return m, nil
}

// clientKeyExchange is the body of a ClientKeyExchange: the identity (RFC 4279, 2), and
// for ECDHE_PSK the client's ephemeral key (RFC 5489, 2).
type clientKeyExchange struct {
	identity []byte
	public   []byte // nil in plain PSK
}

func (*clientKeyExchange) messageType() uint8 { return typeClientKeyExchange }

func (m *clientKeyExchange) appendBody(b *cryptobyte.Builder) {
	addVector16(b, m.identity)
	if m.public != nil {
		addVector8(b, m.public)
	}
}

// parseClientKeyExchange reads a body of the kind that the suite asks for.
func parseClientKeyExchange(body []byte, ecdhe bool) (*clientKeyExchange, error) {
	m := &clientKeyExchange{}
	s := cryptobyte.String(body)
	if !readVector16(&s, &m.identity) ||
		ecdhe && (!readVector8(&s, &m.public) || len(m.public) == 0) ||
		!s.Empty() {
		return nil, errMalformed
	}
	return m, nil
}

// serverHelloDone has an empty body.
type serverHelloDone struct{}

func (serverHelloDone) messageType() uint8               { return typeServerHelloDone }
func (serverHelloDone) appendBody(_ *cryptobyte.Builder) {}

// finished is the body of a Finished message of either version.
type finished struct{ verifyData []byte }

func (finished) messageType() uint8                 { return typeFinished }
func (m finished) appendBody(b *cryptobyte.Builder) { b.AddBytes(m.verifyData) }
