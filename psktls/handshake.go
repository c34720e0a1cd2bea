package psktls

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
)

// handshake is what both sides know while they do one. It holds the lock on in.
type handshake struct {
	*Conn
	ctx        context.Context
	set        *settings
	transcript transcript

	hello  *clientHello // the last one, after a HelloRetryRequest
	server *serverHello
	key    Key
	master []byte // TLS 1.2

	unknown     error // the server knows no key for the identity, and does as if
	looksLike12 bool  // the server has sent change_cipher_spec in TLS 1.3
}

// receive reads a message of the given type into the transcript, and returns its body.
func (h *handshake) receive(kind uint8) ([]byte, error) {
	raw, err := h.readHandshake(kind)
	if err != nil {
		return nil, err
	}
	h.transcript.add(raw)
	return raw[handshakeHeaderLen:], nil
}

// send puts a message into the transcript and the buffer.
func (h *handshake) send(m message) error {
	raw, err := encode(m)
	if err != nil {
		return fail(AlertInternalError, "a message that cannot be written: %w", err)
	}
	h.transcript.add(raw)
	return h.sendRaw(recordHandshake, raw)
}

// sendRaw buffers a message, in as many records as it takes.
func (h *handshake) sendRaw(kind uint8, raw []byte) error {
	h.out.Lock()
	defer h.out.Unlock()
	for len(raw) > 0 {
		n := min(len(raw), maxPlaintext)
		if err := h.writeRecord(kind, raw[:n]); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

// flight writes out what was sent.
func (h *handshake) flight() error {
	h.out.Lock()
	defer h.out.Unlock()
	return h.flush()
}

// changeOut puts a new protection on what goes out.
func (h *handshake) changeOut(p *protection) {
	h.out.Lock()
	defer h.out.Unlock()
	h.out.protection = p
}

// receiveFinished reads the peer's Finished and compares.
func (h *handshake) receiveFinished(want []byte) error {
	got, err := h.receive(typeFinished)
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fail(AlertDecodeError, "Finished has %d bytes instead of %d", len(got), len(want))
	}
	if !hmac.Equal(got, want) {
		return fail(AlertDecryptError, "the peer's Finished is wrong: do both sides have the same key under this identity?")
	}
	return nil
}

// negotiated fixes version and suite, for the connection and for the records to come.
func (h *handshake) negotiated(s *suite) {
	h.suite = s
	h.state.Version, h.state.CipherSuite = s.version, s.id
	h.in.version = s.version
	h.in.tolerateCCS = s.version == VersionTLS13
	h.out.Lock()
	h.out.version = s.version
	h.out.Unlock()
}

// random fills b.
func (h *handshake) random(b []byte) error {
	if _, err := io.ReadFull(h.set.rand, b); err != nil {
		return fail(AlertInternalError, "random bytes: %w", err)
	}
	return nil
}

// keyFailed is the failure of a Key or of GetKey.
func keyFailed(what string, err error) error {
	return fail(AlertInternalError, "%s: %w", what, err)
}

// earlySecret asks the key for the early secret.
func (h *handshake) earlySecret(key Key) (*schedule, error) {
	early, err := key.EarlySecret(h.ctx, h.set.hash)
	if err == nil && len(early) != h.set.hash.Size() {
		err = fmt.Errorf("an early secret of %d bytes instead of %d", len(early), h.set.hash.Size())
	}
	if err != nil {
		return nil, keyFailed("the key", err)
	}
	return newSchedule(h.set.hash, early), nil
}

// logSecret writes a line of the key log. It is what a debugging user asked for, so a failure
// ends the handshake rather than leave a gap.
func (h *handshake) logSecret(label string, secret []byte) error {
	if h.set.KeyLogWriter == nil {
		return nil
	}
	line := make([]byte, 0, len(label)+2+2*(len(h.hello.random)+len(secret))+1)
	line = append(append(line, label...), ' ')
	line = append(hex.AppendEncode(line, h.hello.random[:]), ' ')
	line = append(hex.AppendEncode(line, secret), '\n')
	if _, err := h.set.KeyLogWriter.Write(line); err != nil {
		return fail(AlertInternalError, "KeyLogWriter: %w", err)
	}
	return nil
}

// checkExtensions holds a server's message to its place: it may answer only what was
// offered, and each answer in one kind of message only.
func (h *handshake) checkExtensions(name string, got []uint16, here ...uint16) error {
	for _, number := range got {
		offered := number == extCookie && h.server != nil && h.server.isRetry() || h.hello.offers(number)
		switch {
		case !offered:
			return fail(AlertUnsupportedExtension, "%s answers extension %d, which was not offered", name, number)
		case !slices.Contains(here, number):
			return fail(AlertIllegalParameter, "%s has extension %d, which does not belong there", name, number)
		}
	}
	return nil
}

// offers says whether we sent the extension.
func (m *clientHello) offers(number uint16) bool {
	switch number {
	case extServerName:
		return m.serverName != ""
	case extSupportedGroups:
		return len(m.curves) > 0
	case extPointFormats:
		return len(m.curves) > 0 && m.extendedMaster
	case extSignatureAlgorithms:
		return len(m.schemes) > 0
	case extALPN:
		return len(m.alpn) > 0
	case extExtendedMasterSecret:
		return m.extendedMaster
	case extRenegotiationInfo:
		return m.renegotiation
	case extSupportedVersions:
		return len(m.versions) > 0
	case extKeyShare:
		return m.hasShares
	case extConnectionID:
		return m.connectionID != nil
	case extPSKModes:
		return len(m.modes) > 0
	case extPreSharedKey:
		return m.hasPSK
	}
	return false
}

// takeProtocol is the server's choice of an application protocol.
func (h *handshake) takeProtocol(chosen []string) error {
	if len(chosen) == 0 {
		return nil
	}
	if !slices.Contains(h.hello.alpn, chosen[0]) {
		return fail(AlertIllegalParameter, "the server chooses a protocol that was not offered")
	}
	h.state.NegotiatedProtocol = chosen[0]
	return nil
}
