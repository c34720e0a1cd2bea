package psktls

import (
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/tls"
	"errors"
	"fmt"
)

// KeyExchange makes the ephemeral keys of TLS 1.3 handshakes somewhere else than in this
// process's memory, a SIM for instance. It must be safe for concurrent use if its Config is.
type KeyExchange interface {
	// Ephemeral makes a key pair on the group for one handshake. It may wait for another
	// handshake to be done, as long as ctx lives.
	Ephemeral(ctx context.Context, group tls.CurveID) (EphemeralKey, error)
}

// EphemeralKey is a key pair for one handshake. It derives, and shows neither the private
// key nor what it agrees on.
type EphemeralKey interface {
	// Public is the public key as key_share carries it (RFC 8446, 4.2.8.2): for P-256 the
	// uncompressed point, 65 bytes.
	Public() []byte

	// HandshakeSecret is HKDF-Extract(salt, DHE) of the key schedule (RFC 8446, 7.1), where DHE
	// is the result of the exchange with the peer's public key, leading zeros included. It is as long
	// as the hash. peer is a valid public key of the group. It is called at most once.
	HandshakeSecret(ctx context.Context, hash crypto.Hash, salt, peer []byte) ([]byte, error)

	// Close ends the use of the key. It is called once for every key, at the latest when the
	// handshake ends, however it ends. An error ends the handshake, if that has not failed already.
	Close() error
}

// memoryExchange is the ordinary KeyExchange: keys in memory.
type memoryExchange struct{ *settings }

// Ephemeral implements [KeyExchange].
func (m memoryExchange) Ephemeral(_ context.Context, group tls.CurveID) (EphemeralKey, error) {
	key, err := ephemeral(group, m.rand)
	if err != nil {
		return nil, err
	}
	return memoryKey{key}, nil
}

type memoryKey struct{ *ecdh.PrivateKey }

// Public implements [EphemeralKey].
func (k memoryKey) Public() []byte { return k.PublicKey().Bytes() }

// HandshakeSecret implements [EphemeralKey].
func (k memoryKey) HandshakeSecret(_ context.Context, hash crypto.Hash, salt, peer []byte) ([]byte, error) {
	shared, err := agree(k.PrivateKey, peer)
	if err != nil {
		return nil, err
	}
	return hkdf.Extract(hash.New, shared, salt)
}

// Close implements [EphemeralKey]: the garbage collector does the rest.
func (memoryKey) Close() error { return nil }

// ephemeralKey asks for a key for this handshake.
func (h *handshake) ephemeralKey(group tls.CurveID) (EphemeralKey, error) {
	key, err := h.set.exchange.Ephemeral(h.ctx, group)
	if err != nil {
		return nil, keyFailed("the ephemeral key", err)
	}
	return key, nil
}

// agree brings the schedule to its handshake stage with the peer's public key.
func (h *handshake) agree(s *schedule, key EphemeralKey, group tls.CurveID, peer []byte) error {
	if _, err := ecdhCurve(group).NewPublicKey(peer); err != nil {
		return fail(AlertIllegalParameter, "the peer's ephemeral key: %w", err)
	}
	secret, err := key.HandshakeSecret(h.ctx, s.hash, s.salt(), peer)
	if err == nil && len(secret) != s.hash.Size() {
		err = fmt.Errorf("a handshake secret of %d bytes instead of %d", len(secret), s.hash.Size())
	}
	if alert := new(AlertError); errors.As(err, &alert) {
		return alert // the peer's fault
	}
	if err != nil {
		return keyFailed("the ephemeral key", err)
	}
	s.secret = secret
	h.state.Curve = group
	return nil
}
