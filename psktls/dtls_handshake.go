package psktls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hmac"
	"slices"
	"time"
)

// dtlsState is which message is next.
type dtlsState int

const (
	awaitServerHello       dtlsState = iota // or HelloVerifyRequest
	awaitServerKeyExchange                  // or ServerHelloDone in plain PSK
	awaitServerHelloDone
	awaitClientHello
	awaitClientKeyExchange
	awaitFinished
	dtlsComplete
)

// dtlsExchange is what is kept from one flight to the next.
type dtlsExchange struct {
	verified int              // HelloVerifyRequests that came
	share    *keyShare        // the server's
	key      *ecdh.PrivateKey // ours
	keys     *pair12
}

// maxVerify is how often a server may ask a client for another cookie.
const maxVerify = 3

// message goes on with the handshake. raw is the message as it enters the transcript.
func (d *DTLS) message(kind uint8, body, raw []byte) error {
	switch {
	case d.state == awaitServerHello && kind == typeHelloVerifyRequest:
		return d.helloVerify(body)
	case d.state == awaitServerHello && kind == typeServerHello:
		return d.serverHello(body, raw)
	case d.state == awaitServerKeyExchange && kind == typeServerKeyExchange:
		d.h.transcript.add(raw)
		return d.serverKeyExchange(body)
	case kind == typeServerHelloDone && (d.state == awaitServerHelloDone || d.state == awaitServerKeyExchange && !d.h.suite.ecdhe):
		if len(body) > 0 {
			return unreadable("ServerHelloDone", errMalformed)
		}
		d.h.transcript.add(raw)
		return d.answerServer()
	case d.client && kind == typeHelloRequest && len(body) == 0:
		return nil // we are at it already (RFC 5246, 7.4.1.1)
	case d.state == awaitClientHello && kind == typeClientHello:
		return d.clientHello(body, raw)
	case d.state == awaitClientKeyExchange && kind == typeClientKeyExchange:
		d.h.transcript.add(raw)
		return d.clientKeyExchange(body)
	case d.state == awaitFinished && kind == typeFinished:
		return d.finished(body, raw)
	}
	return fail(AlertUnexpectedMessage, "handshake message %d, which is not the next", kind)
}

// startClient sends the first ClientHello.
func (d *DTLS) startClient() error {
	h := d.h
	h.key = h.set.Key
	h.state.Identity, h.state.ServerName = bytes.Clone(h.set.Identity), h.set.ServerName
	m := &clientHello{
		version: VersionDTLS12, compression: []byte{0}, serverName: h.set.ServerName, alpn: h.set.NextProtos,
		extendedMaster: true, renegotiation: true, connectionID: d.id,
	}
	if err := h.propose(m); err != nil {
		return err
	}
	h.hello = m
	return d.sendHello(nil)
}

// sendHello begins the transcript: neither the first hello nor the server's request for a
// cookie is in it (RFC 6347, 4.2.1).
func (d *DTLS) sendHello(cookie []byte) error {
	body, err := helloBody(d.h.hello, cookie)
	if err != nil {
		return internal(err)
	}
	d.h.transcript, d.flight = transcript{}, nil
	d.addBody(typeClientHello, body)
	return d.launch(true)
}

func (d *DTLS) helloVerify(body []byte) error {
	cookie, err := parseHelloVerify(body)
	if err != nil {
		return unreadable("HelloVerifyRequest", err)
	}
	if d.exchange.verified++; d.exchange.verified > maxVerify {
		return fail(AlertUnexpectedMessage, "the server asks for a cookie again and again")
	}
	return d.sendHello(cookie)
}

func (d *DTLS) serverHello(body, raw []byte) error {
	h := d.h
	m, err := parseServerHello(body)
	if err != nil {
		return unreadable("ServerHello", err)
	}
	chosen := suiteByID(m.suite)
	switch {
	case m.version != VersionDTLS12:
		return fail(AlertProtocolVersion, "the server speaks version %#04x, not DTLS 1.2", m.version)
	case chosen == nil || !slices.Contains(h.set.suites, chosen):
		return fail(AlertIllegalParameter, "the server chooses cipher suite %#04x, which was not offered", m.suite)
	case m.compression != 0:
		return fail(AlertIllegalParameter, "the server chooses compression")
	}
	h.server = m
	h.negotiated(chosen)
	h.transcript.start(chosen.hash)
	h.transcript.add(raw)
	d.state = awaitServerKeyExchange // the clock runs on: the rest of the flight may be lost
	if !d.carries(m.connectionID) {
		return fail(AlertIllegalParameter, "the server's connection id of %d bytes leaves no room in datagrams of %d", len(m.connectionID), d.mtu)
	}
	return h.checkServerHello12()
}

func (d *DTLS) serverKeyExchange(body []byte) error {
	m, err := parseServerKeyExchange(body, d.h.suite.ecdhe)
	if err != nil {
		return unreadable("ServerKeyExchange", err)
	}
	if m.share != nil && !slices.Contains(d.h.hello.curves, uint16(m.share.group)) {
		return fail(AlertIllegalParameter, "the server chooses group %v, which was not offered", m.share.group)
	}
	d.exchange.share, d.state = m.share, awaitServerHelloDone
	return nil
}

// answerServer sends the client's second flight.
func (d *DTLS) answerServer() error {
	h := d.h
	d.flight = nil
	m := &clientKeyExchange{identity: h.set.Identity}
	var shared []byte
	if share := d.exchange.share; share != nil {
		key, err := ephemeral(share.group, h.set.rand)
		if err != nil {
			return internal(err)
		}
		if shared, err = agree(key, share.data); err != nil {
			return err
		}
		m.public, h.state.Curve = key.PublicKey().Bytes(), share.group
	}
	if err := d.add(m); err != nil {
		return err
	}
	keys, err := h.keys12(shared)
	if err != nil {
		return err
	}
	d.write, d.read = keys.client, keys.server
	d.identify(d.write, d.read)
	if err := d.addFinished(labelClientFinished); err != nil {
		return err
	}
	d.state = awaitFinished
	return d.launch(true)
}

// clientHello answers the hello whose cookie was good.
func (d *DTLS) clientHello(body, raw []byte) error {
	h := d.h
	m, _, err := parseDTLSHello(body)
	if err != nil {
		return unreadable("ClientHello", err)
	}
	h.hello = m
	curve := h.set.commonCurve(m.curves)
	if m.curves == nil && len(h.set.curves) > 0 {
		curve = h.set.curves[0] // the client leaves it to us (RFC 8422, 4)
	}
	switch {
	case m.version>>8 != 0xFE || m.version > VersionDTLS12 || m.versions != nil && !slices.Contains(m.versions, VersionDTLS12):
		return fail(AlertProtocolVersion, "the client does not offer DTLS 1.2")
	case !slices.Contains(m.compression, 0):
		return fail(AlertIllegalParameter, "ClientHello insists on compression")
	case len(m.renegotiated) > 0:
		return fail(AlertHandshakeFailure, "the client begins with a renegotiation")
	case h.set.RequireExtendedMasterSecret && !m.extendedMaster:
		return fail(AlertHandshakeFailure, "the client does not know the extended master secret, which Config requires")
	}
	if err := h.chooseProtocol(); err != nil {
		return err
	}
	if err := h.chooseSuite(VersionTLS12, func(s *suite) bool { return !s.ecdhe || curve != 0 }); err != nil {
		return err
	}
	h.state.ExtendedMasterSecret, h.state.ServerName = m.extendedMaster, m.serverName
	h.transcript.start(h.suite.hash)
	h.transcript.add(raw)
	h.server = &serverHello{
		version: VersionDTLS12, suite: h.suite.id,
		extendedMaster: m.extendedMaster, renegotiation: m.renegotiation,
		serverName: m.serverName != "", alpn: h.protocols(),
	}
	if m.connectionID != nil && d.carries(m.connectionID) {
		h.server.connectionID = d.id
	}
	if err := h.random(h.server.random[:]); err != nil {
		return err
	}
	if err := d.add(h.server); err != nil {
		return err
	}
	if h.suite.ecdhe {
		key, err := ephemeral(curve, h.set.rand)
		if err != nil {
			return internal(err)
		}
		d.exchange.key, h.state.Curve = key, curve
		if err := d.add(&serverKeyExchange{share: &keyShare{curve, key.PublicKey().Bytes()}}); err != nil {
			return err
		}
	}
	if err := d.add(serverHelloDone{}); err != nil {
		return err
	}
	d.state = awaitClientKeyExchange
	return d.launch(true)
}

func (d *DTLS) clientKeyExchange(body []byte) error {
	h := d.h
	m, err := parseClientKeyExchange(body, d.exchange.key != nil)
	if err != nil {
		return unreadable("ClientKeyExchange", err)
	}
	var shared []byte
	if d.exchange.key != nil {
		if shared, err = agree(d.exchange.key, m.public); err != nil {
			return err
		}
	}
	key, unknown, err := h.findKey(m.identity)
	if err != nil {
		return err
	}
	h.use(m.identity, key, unknown)
	keys, err := h.keys12(shared)
	if err != nil {
		return err
	}
	// What we write stays in epoch 0 until our Finished.
	d.exchange.keys, d.read = keys, keys.client
	d.identify(keys.server, keys.client)
	d.state = awaitFinished
	return nil
}

// finished compares the peer's Finished, and answers it if we are the server.
func (d *DTLS) finished(body, raw []byte) error {
	label := labelClientFinished
	if d.client {
		label = labelServerFinished
	}
	if len(body) != finishedLen12 {
		return d.h.confess(fail(AlertDecodeError, "Finished has %d bytes instead of %d", len(body), finishedLen12))
	}
	if !hmac.Equal(body, d.h.finished12(label)) {
		return d.h.confess(fail(AlertDecryptError, "the peer's Finished is wrong: do both sides have the same key under this identity?"))
	}
	if d.h.unknown != nil {
		return d.h.confess(nil)
	}
	d.h.transcript.add(raw)
	d.flight, d.deadline = nil, time.Time{}
	d.h.state.Version = VersionDTLS12
	d.h.handshaken.Store(true)
	d.state = dtlsComplete
	if d.client {
		return nil
	}
	d.write = d.exchange.keys.server
	if err := d.addFinished(labelServerFinished); err != nil {
		return err
	}
	return d.launch(false)
}
