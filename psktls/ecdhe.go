package psktls

import (
	"crypto/ecdh"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
)

func ecdhCurve(group tls.CurveID) ecdh.Curve {
	if group == X25519 {
		return ecdh.X25519()
	}
	return ecdh.P256()
}

// ephemeral makes a key pair from the randomness given.
func ephemeral(group tls.CurveID, random io.Reader) (*ecdh.PrivateKey, error) {
	var scalar [32]byte
	for range 64 { // P-256 refuses one in 2^32
		if _, err := io.ReadFull(random, scalar[:]); err != nil {
			return nil, fmt.Errorf("random bytes for an ephemeral key: %w", err)
		}
		if key, err := ecdhCurve(group).NewPrivateKey(scalar[:]); err == nil {
			return key, nil
		}
	}
	return nil, fmt.Errorf("no usable key for %v among 64 from Rand", group)
}

// agree is the ECDH result with the peer's public key. It keeps leading zeros (RFC 8422,
// 5.10; RFC 8446, 7.4.2).
func agree(key *ecdh.PrivateKey, peer []byte) ([]byte, error) {
	public, err := key.Curve().NewPublicKey(peer)
	if err != nil {
		return nil, fail(AlertIllegalParameter, "the peer's ephemeral key: %w", err)
	}
	shared, err := key.ECDH(public)
	if err != nil { // the all-zero result of X25519
		return nil, fail(AlertIllegalParameter, "the peer's ephemeral key: %w", err)
	}
	return shared, nil
}

// commonCurve is the first curve of ours that the peer supports; 0 if there is none.
func (s *settings) commonCurve(theirs []uint16) tls.CurveID {
	for _, c := range s.curves {
		if slices.Contains(theirs, uint16(c)) {
			return c
		}
	}
	return 0
}
