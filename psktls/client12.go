package psktls

import (
	"bytes"
	"slices"
)

// client12 goes on from the ServerHello of TLS 1.2 (RFC 4279, 2; RFC 5489, 2).
func (h *handshake) client12(raw []byte) error {
	h.transcript.start(h.suite.hash)
	h.transcript.add(raw)
	if err := h.checkServerHello12(); err != nil {
		return err
	}
	share, err := h.serverShare()
	if err != nil {
		return err
	}
	m := &clientKeyExchange{identity: h.set.Identity}
	var shared []byte
	if share != nil {
		key, err := ephemeral(share.group, h.set.rand)
		if err != nil {
			return internal(err)
		}
		if shared, err = agree(key, share.data); err != nil {
			return err
		}
		m.public = key.PublicKey().Bytes()
		h.state.Curve = share.group
	}
	if err := h.send(m); err != nil {
		return err
	}
	keys, err := h.keys12(shared)
	if err != nil {
		return err
	}
	if err := h.sendFinished12(labelClientFinished, keys.client); err != nil {
		return err
	}
	return h.receiveFinished12(labelServerFinished, keys.server)
}

// checkServerHello12 checks what TLS 1.2 has in a ServerHello.
func (h *handshake) checkServerHello12() error {
	m := h.server
	err := h.checkExtensions("ServerHello", m.numbers,
		extServerName, extPointFormats, extALPN, extExtendedMasterSecret, extConnectionID, extRenegotiationInfo)
	if err != nil {
		return err
	}
	tail := m.random[len(m.random)-len(downgrade):]
	switch {
	case h.set.allows(VersionTLS13) && bytes.Equal(tail[:7], []byte(downgrade[:7])) && tail[7] <= 1:
		return fail(AlertIllegalParameter, "the server speaks TLS 1.3, as we do, but chooses TLS 1.2: somebody tampers with the connection, or the server has no PSK for TLS 1.3")
	case !m.renegotiation || len(m.renegotiated) > 0:
		return fail(AlertHandshakeFailure, "the server does not do secure renegotiation (RFC 5746), so that another's session could be continued with ours")
	case m.pointFormats != nil && !slices.Contains(m.pointFormats, 0):
		return fail(AlertIllegalParameter, "the server takes no uncompressed points")
	case h.set.RequireExtendedMasterSecret && !m.extendedMaster:
		return fail(AlertHandshakeFailure, "the server does not know the extended master secret, which Config requires")
	}
	h.state.ExtendedMasterSecret = m.extendedMaster
	return h.takeProtocol(m.alpn)
}

// serverShare reads ServerKeyExchange, which a server without an identity hint leaves out in
// plain PSK, and ServerHelloDone. A hint is passed over, as RFC 4279, 5.2 demands.
func (h *handshake) serverShare() (*keyShare, error) {
	types := []uint8{typeServerKeyExchange, typeServerHelloDone}
	if h.suite.ecdhe {
		types = types[:1]
	}
	var share *keyShare
	for range 2 {
		raw, err := h.readHandshake(types...)
		if err != nil {
			return nil, err
		}
		h.transcript.add(raw)
		body := raw[handshakeHeaderLen:]
		if raw[0] == typeServerHelloDone {
			if len(body) > 0 {
				return nil, unreadable("ServerHelloDone", errMalformed)
			}
			break
		}
		m, err := parseServerKeyExchange(body, h.suite.ecdhe)
		if err != nil {
			return nil, unreadable("ServerKeyExchange", err)
		}
		if share = m.share; share != nil && !slices.Contains(h.hello.curves, uint16(share.group)) {
			return nil, fail(AlertIllegalParameter, "the server chooses group %v, which was not offered", share.group)
		}
		types = []uint8{typeServerHelloDone}
	}
	return share, nil
}
