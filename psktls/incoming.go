package psktls

import (
	"io"
	"slices"
)

// pull reads one record and puts it where it belongs: handshake messages into in.hand,
// application data into in.plain. Alerts end it, or are passed over. The lock on in is held.
func (c *Conn) pull() error {
	kind, content, err := c.in.next()
	if err != nil {
		return err
	}
	if len(c.in.hand) > 0 && kind != recordHandshake && kind != recordAlert {
		return fail(AlertUnexpectedMessage, "a record of type %d in the middle of a handshake message", kind)
	}
	switch kind {
	case recordAlert:
		return c.takeAlert(content)
	case recordChangeCipherSpec:
		if !c.in.tolerateCCS || len(content) != 1 || content[0] != 1 {
			return fail(AlertUnexpectedMessage, "change_cipher_spec out of place")
		}
		return c.idled()
	case recordHandshake:
		if len(content) == 0 {
			return fail(AlertUnexpectedMessage, "an empty handshake record")
		}
		c.in.hand = append(c.in.hand, content...)
		return nil
	case recordApplicationData:
		if !c.handshaken.Load() {
			return fail(AlertUnexpectedMessage, "application data before the handshake is complete")
		}
		if len(content) == 0 {
			return c.idled()
		}
		c.in.idle, c.in.plain = 0, content
		return nil
	}
	return fail(AlertUnexpectedMessage, "a record of unknown type %d", kind)
}

// idled counts what came and moved nothing forward, and fails when it is too much: a peer
// could keep us busy with it for ever.
func (c *Conn) idled() error {
	if c.in.idle++; c.in.idle > maxIdle {
		return fail(AlertUnexpectedMessage, "more than %d messages in a row that move nothing forward", maxIdle)
	}
	return nil
}

// maxIdle is how much of that is borne.
const maxIdle = 32

// takeAlert is an alert from the peer: io.EOF for close_notify, nil for one that may
// be passed over.
func (c *Conn) takeAlert(content []byte) error {
	if len(content) != alertRecordLen {
		return fail(AlertDecodeError, "an alert of %d bytes", len(content))
	}
	level, alert := content[0], Alert(content[1])
	switch {
	case alert == AlertCloseNotify && !c.handshaken.Load():
		return remote(alert, c.advice())
	case alert == AlertCloseNotify:
		return io.EOF
	case alert == AlertUserCanceled: // close_notify follows (RFC 8446, 6.1)
		return c.idled()
	case level == alertLevelWarning && c.in.version != VersionTLS13:
		return c.idled()
	}
	return remote(alert, c.advice())
}

// advice is what alerts mean on this connection.
func (c *Conn) advice() map[Alert]string {
	if c.config.Certificates != nil {
		return adviceCertificates
	}
	return advicePSK
}

// completeMessage says whether in.hand begins with a whole handshake message, or one
// that is too long.
func (c *Conn) completeMessage() bool {
	h := c.in.hand
	return len(h) >= handshakeHeaderLen && (len(h) >= handshakeHeaderLen+bodyLen(h) || bodyLen(h) > maxHandshake)
}

func bodyLen(message []byte) int {
	return int(message[1])<<16 | int(message[2])<<8 | int(message[3])
}

// readHandshake reads a handshake message of one of the types, or any if none is given, with its
// header. The lock on in is held.
func (c *Conn) readHandshake(types ...uint8) ([]byte, error) {
	for {
		for !c.completeMessage() {
			if len(c.in.hand) > 0 && len(types) > 0 && !c.expected(types) {
				break // the wrong one need not be read to its end
			}
			if err := c.pull(); err != nil {
				return nil, err
			}
		}
		kind := c.in.hand[0]
		if len(types) > 0 && !c.expected(types) {
			return nil, fail(AlertUnexpectedMessage, "handshake message %d, where %v was to come", kind, types)
		}
		n := handshakeHeaderLen + bodyLen(c.in.hand)
		if n > handshakeHeaderLen+maxHandshake {
			return nil, fail(AlertDecodeError, "a handshake message of %d bytes, more than %d", n, maxHandshake)
		}
		raw := c.in.hand[:n:n]
		if c.in.hand = c.in.hand[n:]; len(c.in.hand) == 0 {
			c.in.hand = nil
		}
		if kind == typeHelloRequest && len(types) > 0 {
			if err := c.idled(); err != nil {
				return nil, err
			}
			continue // we are at it already (RFC 5246, 7.4.1.1)
		}
		if !c.handshaken.Load() {
			c.in.idle = 0
		}
		return raw, nil
	}
}

// expected says whether the message at hand is of one of the types, or may be passed over:
// an empty HelloRequest while a client does a handshake of TLS 1.2.
func (c *Conn) expected(types []uint8) bool {
	h := c.in.hand
	if h[0] == typeHelloRequest && c.client && c.in.version != VersionTLS13 {
		return len(h) < handshakeHeaderLen || bodyLen(h) == 0
	}
	return slices.Contains(types, h[0])
}

// changeIn puts a new protection on what comes in. A message must not lie across it (RFC
// 8446, 5.1). The lock on in is held.
func (c *Conn) changeIn(p *protection) error {
	if len(c.in.hand) > 0 {
		return fail(AlertUnexpectedMessage, "a handshake message runs on over a change of keys")
	}
	c.in.protection = p
	return nil
}

// readChangeCipherSpec reads the message of that name in TLS 1.2, and nothing else. The lock
// on in is held.
func (c *Conn) readChangeCipherSpec(p *protection) error {
	for {
		if len(c.in.hand) > 0 {
			return fail(AlertUnexpectedMessage, "handshake message %d, where change_cipher_spec was to come", c.in.hand[0])
		}
		kind, content, err := c.in.next()
		switch {
		case err != nil:
			return err
		case kind == recordAlert:
			if err := c.takeAlert(content); err != nil {
				return err
			}
		case kind != recordChangeCipherSpec || len(content) != 1 || content[0] != 1:
			return fail(AlertUnexpectedMessage, "a record of type %d, where change_cipher_spec was to come", kind)
		default:
			return c.changeIn(p)
		}
	}
}

// afterHandshake deals with a handshake message that comes among the application data.
// The lock on in is held.
func (c *Conn) afterHandshake(raw []byte) error {
	kind, body := raw[0], raw[handshakeHeaderLen:]
	if err := c.idled(); err != nil {
		return err
	}
	switch {
	case c.suite.version == VersionTLS12 && (c.client && kind == typeHelloRequest || !c.client && kind == typeClientHello):
		return fail(AlertNoRenegotiation, "the peer asks for renegotiation, which is not done")
	case c.suite.version == VersionTLS13 && c.client && kind == typeNewSessionTicket:
		if _, err := parseNewSessionTicket(body); err != nil {
			return unreadable("NewSessionTicket", err)
		}
		return nil
	case c.suite.version == VersionTLS13 && kind == typeKeyUpdate:
		m, err := parseKeyUpdate(body)
		if err != nil {
			return unreadable("KeyUpdate", err)
		}
		next, err := c.in.protection.next(c.suite)
		if err != nil {
			return err
		}
		if err := c.changeIn(next); err != nil {
			return err
		}
		if m.request {
			// Ours comes before the next application data that we write: to write it here could wait
			// for a peer that waits for us to read.
			c.oweUpdate.Store(true)
		}
		return nil
	}
	return fail(AlertUnexpectedMessage, "handshake message %d after the handshake", kind)
}
