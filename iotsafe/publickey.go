package iotsafe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"fmt"
)

// publicKeyHeader precedes an uncompressed P-256 point in public key data:
// 34 (public key data) › 49 (ECC public key template) › 86 (point).
var publicKeyHeader = [...]byte{0x34, 0x45, 0x49, 0x43, 0x86, 0x41}

// AppendPublicKey adds public key data (tag 34, 71 bytes) for a P-256 key to dst.
func AppendPublicKey(dst []byte, key *ecdsa.PublicKey) ([]byte, error) {
	if key == nil || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("iotsafe: public key data: want a P-256 key")
	}
	point, err := key.Bytes()
	if err != nil {
		return nil, fmt.Errorf("iotsafe: public key data: %w", err)
	}
	return append(append(dst, publicKeyHeader[:]...), point...), nil
}

// ParsePublicKey reads public key data, or a bare uncompressed point as some applets
// send it, and refuses a point that is not on P-256.
func ParsePublicKey(b []byte) (*ecdsa.PublicKey, error) {
	if len(b) == len(publicKeyHeader)+65 && [6]byte(b[:6]) == publicKeyHeader {
		b = b[6:]
	}
	if len(b) != 65 {
		return nil, fmt.Errorf("iotsafe: %d bytes of public key data: want a P-256 point", len(b))
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("iotsafe: the card's public key is not a point of P-256: %w", err)
	}
	return key, nil
}
