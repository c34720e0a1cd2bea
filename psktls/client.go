package psktls

import (
	"bytes"
	"crypto/tls"
	"slices"
)

// asClient does the handshake from the client's side, up to where the versions part.
func (h *handshake) asClient() (err error) {
	h.key = h.set.Key
	h.state.Identity = bytes.Clone(h.set.Identity)
	h.state.ServerName = h.set.ServerName
	h.in.tolerateCCS = h.set.allows(VersionTLS13)
	if !h.set.allows(VersionTLS12) {
		h.in.version = VersionTLS13 // nothing that only TLS 1.2 has is borne
	}

	offer := &offer{handshake: h}
	defer offer.forget(&err)
	if err := offer.send(); err != nil {
		return err
	}
	raw, err := h.readServerHello()
	if err != nil {
		return err
	}
	if h.server.selected == 0 && !h.server.isRetry() {
		return h.client12(raw)
	}
	return h.client13(offer, raw)
}

// offer is what a client proposes, and what it must keep to make good on it.
type offer struct {
	*handshake
	early     *schedule    // nil without TLS 1.3
	group     tls.CurveID  // of the key share sent
	ephemeral EphemeralKey // behind it, nil if none was sent
}

// send composes the first ClientHello.
func (o *offer) send() error {
	m := &clientHello{version: VersionTLS12, compression: []byte{0}, serverName: o.set.hostName(), alpn: o.set.NextProtos}
	if err := o.propose(m); err != nil {
		return err
	}
	if o.set.allows(VersionTLS12) {
		m.extendedMaster, m.renegotiation = true, true
	}
	if o.set.allows(VersionTLS13) {
		m.versions = append(m.versions, VersionTLS13)
		if o.set.allows(VersionTLS12) {
			m.versions = append(m.versions, VersionTLS12)
		}
		if err := o.compose13(m); err != nil {
			return err
		}
	}
	return o.sendHello(m)
}

// propose puts into a ClientHello what all versions have: random bytes, suites and curves.
func (h *handshake) propose(m *clientHello) error {
	ecdhe := false
	for _, s := range h.set.suites {
		m.suites = append(m.suites, s.id)
		ecdhe = ecdhe || s.ecdhe
	}
	if ecdhe {
		for _, c := range h.set.curves {
			m.curves = append(m.curves, uint16(c))
		}
	}
	return h.random(m.random[:])
}

// compose13 adds what TLS 1.3 needs, all but the binder.
func (o *offer) compose13(m *clientHello) (err error) {
	if len(m.curves) > 0 {
		if err := o.share(m, o.set.curves[0]); err != nil {
			return err
		}
	}
	if o.set.Certificates != nil {
		m.schemes = offeredSchemes()
		o.early, err = noPSK(o.set.hash)
		return internal(err)
	}
	if o.early, err = o.earlySecret(o.key); err != nil {
		return err
	}
	if len(m.curves) > 0 {
		m.modes = append(m.modes, modePSKDHE)
	}
	if o.set.AllowPSKOnly {
		m.modes = append(m.modes, modePSK)
	}
	m.hasPSK = true
	m.identities = []pskIdentity{{identity: o.set.Identity}}
	m.binders = [][]byte{make([]byte, o.early.hash.Size())}
	return nil
}

// share puts a fresh key share into the hello, in place of any other.
func (o *offer) share(m *clientHello, group tls.CurveID) error {
	if last := o.ephemeral; last != nil {
		o.ephemeral = nil
		if err := last.Close(); err != nil {
			return keyFailed("the ephemeral key", err)
		}
	}
	key, err := o.ephemeralKey(group)
	if err != nil {
		return err
	}
	o.group, o.ephemeral = group, key
	m.hasShares, m.shares = true, []keyShare{{group, key.Public()}}
	return nil
}

// forget ends the use of the ephemeral key. Its failure is one of the handshake, unless that has
// one already.
func (o *offer) forget(err *error) {
	if o.ephemeral == nil {
		return
	}
	if e := o.ephemeral.Close(); e != nil && *err == nil {
		*err = keyFailed("the ephemeral key", e)
	}
}

// sendHello computes the binder, if there is one, and sends the hello.
func (o *offer) sendHello(m *clientHello) error {
	raw, err := encode(m)
	if err != nil {
		return fail(AlertInternalError, "a ClientHello that cannot be written: %w", err)
	}
	if m.hasPSK {
		messages, err := o.transcript.sumWith(o.early.hash, raw[:len(raw)-m.bindersLen()])
		if err != nil {
			return fail(AlertInternalError, "%w", err)
		}
		m.binders[0] = o.early.binder(binderLabel(o.key), messages)
		copy(raw[len(raw)-len(m.binders[0]):], m.binders[0])
	}
	o.hello = m
	o.transcript.add(raw)
	if err := o.sendRaw(recordHandshake, raw); err != nil {
		return err
	}
	return o.flight()
}

// readServerHello reads a ServerHello or HelloRetryRequest and checks what holds for all
// versions. The message is not yet in the transcript.
func (h *handshake) readServerHello() (raw []byte, err error) {
	if raw, err = h.readHandshake(typeServerHello); err != nil {
		return nil, err
	}
	m, err := parseServerHello(raw[handshakeHeaderLen:])
	if err != nil {
		return nil, unreadable("ServerHello", err)
	}
	h.server = m
	version := m.version
	if m.selected != 0 {
		version = m.selected
		if m.version != VersionTLS12 || version != VersionTLS13 {
			return nil, fail(AlertIllegalParameter, "ServerHello: the version is %#04x, and %#04x in the extension", m.version, version)
		}
	} else if m.isRetry() {
		return nil, fail(AlertMissingExtension, "HelloRetryRequest without supported_versions")
	}
	if !h.set.allows(version) {
		if m.selected != 0 {
			return nil, fail(AlertIllegalParameter, "the server chooses a version that was not offered")
		}
		return nil, fail(AlertProtocolVersion, "the server speaks version %#04x, which Config does not allow", version)
	}
	chosen := suiteByID(m.suite)
	if chosen == nil || chosen.version != version || !slices.Contains(h.set.suites, chosen) {
		return nil, fail(AlertIllegalParameter, "the server chooses cipher suite %#04x, which was not offered for its version", m.suite)
	}
	if m.compression != 0 {
		return nil, fail(AlertIllegalParameter, "the server chooses compression")
	}
	if h.suite != nil && h.suite != chosen {
		return nil, fail(AlertIllegalParameter, "the server changes its mind about the cipher suite after HelloRetryRequest")
	}
	h.negotiated(chosen)
	return raw, nil
}
