package psktls

import (
	"crypto/ecdh"
	"slices"
)

// server12 goes on from the ClientHello of TLS 1.2 (RFC 4279, 2; RFC 5489, 2).
func (h *handshake) server12(raw []byte) error {
	m := h.hello
	curve := h.set.commonCurve(m.curves)
	if m.curves == nil && len(h.set.curves) > 0 {
		curve = h.set.curves[0] // the client leaves it to us (RFC 8422, 4)
	}
	err := h.chooseSuite(VersionTLS12, func(s *suite) bool { return !s.ecdhe || curve != 0 })
	if err != nil {
		return err
	}
	switch {
	case !slices.Contains(m.compression, 0):
		return fail(AlertIllegalParameter, "ClientHello insists on compression")
	case len(m.renegotiated) > 0:
		return fail(AlertHandshakeFailure, "the client begins with a renegotiation")
	case h.set.RequireExtendedMasterSecret && !m.extendedMaster:
		return fail(AlertHandshakeFailure, "the client does not know the extended master secret, which Config requires")
	}
	h.state.ExtendedMasterSecret = m.extendedMaster
	h.transcript.start(h.suite.hash)
	h.transcript.add(raw)

	if err := h.sendServerHello12(); err != nil {
		return err
	}
	var key *ecdh.PrivateKey
	if h.suite.ecdhe {
		if key, err = ephemeral(curve, h.set.rand); err != nil {
			return internal(err)
		}
		h.state.Curve = curve
		// No identity hint: nobody has agreed on what it would mean (RFC 4279, 5.2).
		if err := h.send(&serverKeyExchange{share: &keyShare{curve, key.PublicKey().Bytes()}}); err != nil {
			return err
		}
	}
	if err := h.send(serverHelloDone{}); err != nil {
		return err
	}
	if err := h.flight(); err != nil {
		return err
	}
	keys, err := h.receiveKeyExchange(key)
	if err != nil {
		return err
	}
	if err := h.receiveFinished12(labelClientFinished, keys.client); err != nil {
		return err
	}
	return h.sendFinished12(labelServerFinished, keys.server)
}

// sendServerHello12 answers the client's extensions.
func (h *handshake) sendServerHello12() error {
	m := &serverHello{
		version: VersionTLS12, suite: h.suite.id,
		extendedMaster: h.hello.extendedMaster, renegotiation: h.hello.renegotiation,
		serverName: h.hello.serverName != "", alpn: h.protocols(),
	}
	if err := h.random(m.random[:]); err != nil {
		return err
	}
	if h.set.max > VersionTLS12 {
		copy(m.random[len(m.random)-len(downgrade):], downgrade)
	}
	h.server = m
	return h.send(m)
}

// receiveKeyExchange reads ClientKeyExchange and derives the keys.
func (h *handshake) receiveKeyExchange(key *ecdh.PrivateKey) (*pair12, error) {
	body, err := h.receive(typeClientKeyExchange)
	if err != nil {
		return nil, err
	}
	m, err := parseClientKeyExchange(body, key != nil)
	if err != nil {
		return nil, unreadable("ClientKeyExchange", err)
	}
	var shared []byte
	if key != nil {
		if shared, err = agree(key, m.public); err != nil {
			return nil, err
		}
	}
	psk, unknown, err := h.findKey(m.identity)
	if err != nil {
		return nil, err
	}
	h.use(m.identity, psk, unknown)
	return h.keys12(shared)
}
