package psktls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// asServer does the handshake from the server's side, up to where the versions part.
func (h *handshake) asServer() error {
	raw, err := h.readClientHello()
	if err != nil {
		return err
	}
	m := h.hello
	version, err := h.chooseVersion()
	if err != nil {
		return err
	}
	if slices.Contains(m.suites, scsvFallback) && version < h.set.max {
		return fail(AlertInappropriateFallback, "the client fell back to an older version, but we speak a newer one")
	}
	if err := h.chooseProtocol(); err != nil {
		return err
	}
	h.state.ServerName = m.serverName
	if version == VersionTLS13 {
		err = h.server13(raw)
	} else {
		err = h.server12(raw)
	}
	return h.confess(err)
}

// readClientHello reads the message, and does not put it into the transcript yet: a binder
// is over a part of it.
func (h *handshake) readClientHello() (raw []byte, err error) {
	if raw, err = h.readHandshake(typeClientHello); err != nil {
		return nil, err
	}
	if h.hello, err = parseClientHello(raw[handshakeHeaderLen:]); err != nil {
		return nil, unreadable("ClientHello", err)
	}
	return raw, nil
}

// chooseVersion takes the newest version that both sides allow.
func (h *handshake) chooseVersion() (uint16, error) {
	theirs := h.hello.versions
	if theirs == nil {
		theirs = []uint16{min(h.hello.version, VersionTLS12)}
	}
	for version := h.set.max; version >= h.set.min; version-- {
		if slices.Contains(theirs, version) {
			return version, nil
		}
	}
	return 0, fail(AlertProtocolVersion, "the client offers no version of TLS that Config allows")
}

// chooseProtocol takes our first application protocol that the client offers.
func (h *handshake) chooseProtocol() error {
	if len(h.hello.alpn) == 0 || len(h.set.NextProtos) == 0 {
		return nil
	}
	for _, p := range h.set.NextProtos {
		if slices.Contains(h.hello.alpn, p) {
			h.state.NegotiatedProtocol = p
			return nil
		}
	}
	return fail(AlertNoApplicationProtocol, "the client offers only protocols that are not in NextProtos")
}

// protocols is the answer to the client's ALPN.
func (h *handshake) protocols() []string {
	if h.state.NegotiatedProtocol == "" {
		return nil
	}
	return []string{h.state.NegotiatedProtocol}
}

// chooseSuite takes our first suite of the version that the client offers and usable
// allows.
func (h *handshake) chooseSuite(version uint16, usable func(*suite) bool) error {
	for _, s := range h.set.suites {
		if s.version == version && slices.Contains(h.hello.suites, s.id) && usable(s) {
			h.negotiated(s)
			return nil
		}
	}
	return fail(AlertHandshakeFailure, "the client offers no cipher suite and group that Config allows")
}

// findKey finds the key of an identity. For an identity without one, unknown says so and
// the key is one that nobody has: the handshake then fails as it does with a wrong key.
func (h *handshake) findKey(identity []byte) (key Key, unknown, err error) {
	key, err = h.set.GetKey(h.ctx, bytes.Clone(identity))
	switch {
	case err != nil && !errors.Is(err, ErrUnknownIdentity):
		return nil, nil, keyFailed("the look-up of the identity", err)
	case key != nil:
		return key, err, nil
	case err == nil:
		err = ErrUnknownIdentity
	}
	decoy := make([]byte, 32)
	if err := h.random(decoy); err != nil {
		return nil, nil, err
	}
	return SecretKey(decoy), err, nil
}

// use settles on an identity and its key.
func (h *handshake) use(identity []byte, key Key, unknown error) {
	h.key, h.unknown = key, unknown
	h.state.Identity = bytes.Clone(identity)
}

// confess adds to a failure that the identity was unknown, for the server's own log. The
// peer is told nothing of it, and a handshake with such an identity never succeeds.
func (h *handshake) confess(err error) error {
	if h.unknown == nil {
		return err
	}
	alert := &AlertError{Alert: AlertInternalError}
	if err == nil {
		alert.Err = h.unknown
		return alert
	}
	if errors.As(err, &alert) {
		return &AlertError{Alert: alert.Alert, Remote: alert.Remote, Err: &strangerError{h.unknown, err}}
	}
	if context.Cause(h.ctx) != nil {
		return err
	}
	return &strangerError{h.unknown, err}
}

// strangerError is the end of a handshake with an unknown identity. It is put into words when
// somebody asks: until the peer has its alert, nothing must take longer than with a wrong key.
type strangerError struct{ unknown, err error }

func (e *strangerError) Error() string   { return fmt.Sprintf("%v: %v", e.unknown, e.err) }
func (e *strangerError) Unwrap() []error { return []error{e.unknown, e.err} }
