package psktls

import (
	"bytes"
	"slices"
)

// client13 goes on from the first ServerHello of TLS 1.3, or from HelloRetryRequest.
func (h *handshake) client13(o *offer, raw []byte) error {
	h.transcript.start(h.suite.hash)
	if h.server.isRetry() {
		if err := o.retry(raw); err != nil {
			return err
		}
		var err error
		if raw, err = h.readServerHello(); err != nil {
			return err
		}
		if h.server.isRetry() {
			return fail(AlertUnexpectedMessage, "a second HelloRetryRequest")
		}
		if h.server.selected == 0 {
			return fail(AlertIllegalParameter, "the server changes its mind about the version after HelloRetryRequest")
		}
	}
	h.transcript.add(raw)
	s, err := o.accept()
	if err != nil {
		return err
	}
	keys, err := h.handshakeKeys(s)
	if err != nil {
		return err
	}
	if len(h.hello.sessionID) > 0 {
		if err := h.sendRaw(recordChangeCipherSpec, []byte{1}); err != nil {
			return err
		}
	}
	h.changeOut(keys.client) // alerts too are protected from here on (RFC 8446, A.1)
	if err := h.changeIn(keys.server); err != nil {
		return err
	}
	if err := h.clientExtensions(); err != nil {
		return err
	}
	request, err := h.authenticateServer()
	if err != nil {
		return err
	}
	if err := h.receiveFinished(keys.serverFinished(&h.transcript)); err != nil {
		return err
	}
	app, err := h.applicationKeys(s)
	if err != nil {
		return err
	}
	if err := h.changeIn(app.server); err != nil {
		return err
	}
	if request != nil {
		if err := h.presentCertificate(request); err != nil {
			return err
		}
	}
	if err := h.send(finished{keys.clientFinished(&h.transcript)}); err != nil {
		return err
	}
	if err := h.flight(); err != nil {
		return err
	}
	h.changeOut(app.client)
	h.in.tolerateCCS = false
	return nil
}

// retry answers a HelloRetryRequest (RFC 8446, 4.1.4).
func (o *offer) retry(raw []byte) error {
	m := o.server
	if err := o.checkExtensions("HelloRetryRequest", m.numbers, extSupportedVersions, extKeyShare, extCookie); err != nil {
		return err
	}
	if !bytes.Equal(m.sessionID, o.hello.sessionID) {
		return fail(AlertIllegalParameter, "HelloRetryRequest: another session id")
	}
	next := *o.hello
	next.cookie = bytes.Clone(m.cookie)
	if m.share != nil {
		group := m.share.group
		if !slices.Contains(o.hello.curves, uint16(group)) || o.group == group {
			return fail(AlertIllegalParameter, "HelloRetryRequest asks for group %v, which was not offered, or sent at once", group)
		}
		if err := o.share(&next, group); err != nil {
			return err
		}
	}
	if m.share == nil && m.cookie == nil {
		return fail(AlertIllegalParameter, "HelloRetryRequest asks for nothing")
	}
	o.transcript.retry()
	o.transcript.add(raw)
	return o.sendHello(&next)
}

// accept checks the ServerHello against the offer, and returns the schedule at its handshake
// stage.
func (o *offer) accept() (*schedule, error) {
	m := o.server
	if err := o.checkExtensions("ServerHello", m.numbers, extSupportedVersions, extKeyShare, extPreSharedKey); err != nil {
		return nil, err
	}
	switch {
	case !bytes.Equal(m.sessionID, o.hello.sessionID):
		return nil, fail(AlertIllegalParameter, "ServerHello: another session id")
	case m.psk == nil && o.set.Certificates == nil:
		return nil, fail(AlertHandshakeFailure, "the server does not take the pre-shared key: does it know the identity?")
	case m.psk != nil && int(*m.psk) >= len(o.hello.identities):
		return nil, fail(AlertIllegalParameter, "the server chooses PSK %d, which was not offered", *m.psk)
	case m.share == nil && !o.set.AllowPSKOnly:
		return nil, fail(AlertMissingExtension, "the server does without an ephemeral key exchange, which Config.AllowPSKOnly does not allow")
	}
	if m.share == nil {
		return o.early, internal(o.early.advance())
	}
	if o.ephemeral == nil || m.share.group != o.group {
		return nil, fail(AlertIllegalParameter, "the server chooses group %v, for which no share was sent", m.share.group)
	}
	return o.early, o.agree(o.early, o.ephemeral, o.group, m.share.data)
}

// clientExtensions reads EncryptedExtensions.
func (h *handshake) clientExtensions() error {
	body, err := h.receive(typeEncryptedExtensions)
	if err != nil {
		return err
	}
	m, err := parseEncryptedExtensions(body)
	if err != nil {
		return unreadable("EncryptedExtensions", err)
	}
	if err := h.checkExtensions("EncryptedExtensions", m.numbers, extServerName, extSupportedGroups, extALPN); err != nil {
		return err
	}
	return h.takeProtocol(m.alpn)
}
