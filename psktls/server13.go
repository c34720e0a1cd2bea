package psktls

import (
	"bytes"
	"crypto/hmac"
	"crypto/tls"
	"slices"
)

const (
	// maxIdentities is how many identities of one client are looked up.
	maxIdentities = 4
	// maxRefusedEarlyData is how many bytes of early data, which we always refuse, are thrown
	// away before it is held against the client.
	maxRefusedEarlyData = 1 << 14
)

// server13 goes on from the ClientHello of TLS 1.3.
func (h *handshake) server13(raw []byte) error {
	if err := h.checkClientHello13(); err != nil {
		return err
	}
	err := h.chooseSuite(VersionTLS13, func(*suite) bool { return true })
	if err != nil {
		return err
	}
	group, err := h.chooseGroup()
	if err != nil {
		return err
	}
	if h.hello.earlyData {
		h.in.skip = maxRefusedEarlyData
	}
	if group != 0 && h.hello.share(group) == nil {
		if raw, err = h.askAgain(group, raw); err != nil {
			return err
		}
	}
	s, chosen, err := h.choosePSK(raw)
	if err != nil {
		return err
	}
	if h.transcript.running == nil {
		h.transcript.start(h.suite.hash)
	}
	h.transcript.add(raw)
	if err := h.sendServerHello13(s, group, chosen); err != nil {
		return err
	}
	return h.finish13(s)
}

// finish13 is the encrypted rest of the server's flight, and the client's answer.
func (h *handshake) finish13(s *schedule) error {
	keys, err := h.handshakeKeys(s)
	if err != nil {
		return err
	}
	if err := h.changeIn(keys.client); err != nil {
		return err
	}
	h.changeOut(keys.server)
	err = h.send(&encryptedExtensions{serverName: h.hello.serverName != "", alpn: h.protocols()})
	if err != nil {
		return err
	}
	if err := h.send(finished{keys.serverFinished(&h.transcript)}); err != nil {
		return err
	}
	if err := h.flight(); err != nil {
		return err
	}
	app, err := h.applicationKeys(s)
	if err != nil {
		return err
	}
	h.changeOut(app.server)
	if err := h.receiveFinished(keys.clientFinished(&h.transcript)); err != nil {
		return err
	}
	h.in.tolerateCCS = false
	return h.changeIn(app.client)
}

// checkClientHello13 checks what TLS 1.3 demands of a ClientHello with a PSK (RFC 8446,
// 4.1.2, 4.2.8, 4.2.9, 4.2.11, 9.2).
func (h *handshake) checkClientHello13() error {
	m := h.hello
	switch {
	case len(m.compression) != 1 || m.compression[0] != 0:
		return fail(AlertIllegalParameter, "ClientHello offers compression")
	case !m.hasPSK:
		return fail(AlertHandshakeFailure, "the client presents no pre-shared key for TLS 1.3")
	case len(m.modes) == 0:
		return fail(AlertMissingExtension, "pre_shared_key without psk_key_exchange_modes")
	case len(m.binders) != len(m.identities):
		return fail(AlertIllegalParameter, "%d identities and %d binders", len(m.identities), len(m.binders))
	case m.hasShares != (len(m.curves) > 0):
		return fail(AlertMissingExtension, "key_share and supported_groups do not come together")
	}
	for i, s := range m.shares {
		repeated := slices.ContainsFunc(m.shares[:min(i, len(m.curves))], func(o keyShare) bool { return o.group == s.group })
		if repeated || !slices.Contains(m.curves, uint16(s.group)) {
			return fail(AlertIllegalParameter, "key_share: group %v is repeated, or not among the supported groups", s.group)
		}
	}
	return nil
}

// chooseGroup takes a group for psk_dhe_ke: one that a key share came for, if possible, to
// spare a round trip. 0 means psk_ke.
func (h *handshake) chooseGroup() (tls.CurveID, error) {
	m := h.hello
	if slices.Contains(m.modes, modePSKDHE) {
		for _, c := range h.set.curves {
			if m.share(c) != nil && slices.Contains(m.curves, uint16(c)) {
				return c, nil
			}
		}
		if c := h.set.commonCurve(m.curves); c != 0 {
			return c, nil
		}
	}
	if slices.Contains(m.modes, modePSK) && h.set.AllowPSKOnly {
		return 0, nil
	}
	return 0, fail(AlertHandshakeFailure, "the client offers no key exchange that Config allows: no group in common, or no forward secrecy (see AllowPSKOnly)")
}

// askAgain sends HelloRetryRequest for a key share of the group, and reads the second
// ClientHello, which must be as the first but for that.
func (h *handshake) askAgain(group tls.CurveID, first []byte) ([]byte, error) {
	h.transcript.add(first)
	h.transcript.start(h.suite.hash)
	h.transcript.retry()
	retry := &serverHello{
		version: VersionTLS12, random: retryRandom, sessionID: h.hello.sessionID,
		suite: h.suite.id, selected: VersionTLS13, share: &keyShare{group: group},
	}
	if err := h.send(retry); err != nil {
		return nil, err
	}
	if err := h.compatibility(); err != nil {
		return nil, err
	}
	if err := h.flight(); err != nil {
		return nil, err
	}
	before := h.hello
	raw, err := h.readClientHello()
	if err != nil {
		return nil, err
	}
	if err := h.checkClientHello13(); err != nil {
		return nil, err
	}
	m := h.hello
	switch {
	case len(m.shares) != 1 || m.shares[0].group != group:
		return nil, fail(AlertIllegalParameter, "the second ClientHello has not the one key share asked for")
	case m.earlyData || m.cookie != nil || m.random != before.random || m.version != before.version ||
		!bytes.Equal(m.sessionID, before.sessionID) || !slices.Equal(m.suites, before.suites) ||
		!slices.Equal(m.curves, before.curves) || !slices.Equal(m.versions, before.versions) ||
		!slices.Equal(m.alpn, before.alpn) || m.serverName != before.serverName || !bytes.Equal(m.modes, before.modes):
		return nil, fail(AlertIllegalParameter, "the second ClientHello differs in what must stay the same")
	}
	h.in.skip = 0
	return raw, nil
}

// choosePSK takes the first identity that is known, and checks its binder: that the client
// has the key. If none is known it goes through the same motions with the first.
func (h *handshake) choosePSK(raw []byte) (s *schedule, chosen int, err error) {
	identities := h.hello.identities
	var key Key
	var unknown error
	for i, id := range identities[:min(len(identities), maxIdentities)] {
		k, stranger, err := h.findKey(id.identity)
		if err != nil {
			return nil, 0, err
		}
		if i == 0 || stranger == nil {
			key, unknown, chosen = k, stranger, i
		}
		if stranger == nil {
			break
		}
	}
	h.use(identities[chosen].identity, key, unknown)
	if s, err = h.earlySecret(key); err != nil {
		return nil, 0, err
	}
	messages, err := h.transcript.sumWith(s.hash, raw[:len(raw)-h.hello.bindersLen()])
	if err != nil {
		return nil, 0, internal(err)
	}
	if !hmac.Equal(s.binder(binderLabel(key), messages), h.hello.binders[chosen]) {
		return nil, 0, fail(AlertDecryptError, "the client does not have the key of its identity")
	}
	return s, chosen, nil
}

// sendServerHello13 brings the schedule to its handshake stage and sends ServerHello. Group 0 means
// psk_ke.
func (h *handshake) sendServerHello13(s *schedule, group tls.CurveID, chosen int) error {
	psk := uint16(chosen)
	m := &serverHello{version: VersionTLS12, sessionID: h.hello.sessionID, suite: h.suite.id, selected: VersionTLS13, psk: &psk}
	if err := h.random(m.random[:]); err != nil {
		return err
	}
	if group == 0 {
		if err := s.advance(); err != nil {
			return internal(err)
		}
	} else {
		key, err := h.ephemeralKey(group)
		if err != nil {
			return err
		}
		m.share = &keyShare{group, key.Public()}
		err = h.agree(s, key, group, h.hello.share(group))
		if closed := key.Close(); closed != nil && err == nil {
			err = keyFailed("the ephemeral key", closed)
		}
		if err != nil {
			return err
		}
	}
	if err := h.send(m); err != nil {
		return err
	}
	return h.compatibility()
}

// compatibility sends change_cipher_spec, once, to a client that wants to look like TLS 1.2
// to middleboxes (RFC 8446, D.4).
func (h *handshake) compatibility() error {
	if len(h.hello.sessionID) == 0 || h.looksLike12 {
		return nil
	}
	h.looksLike12 = true
	return h.sendRaw(recordChangeCipherSpec, []byte{1})
}
