package iotsafe

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"math/big"

	"github.com/simroot/simroot/tlv"
)

// Tags inside public key data.
const (
	tagKeyTemplate tlv.Tag = 0x49
	tagPoint       tlv.Tag = 0x86
	tagModulus     tlv.Tag = 0x81
	tagExponent    tlv.Tag = 0x82
)

// pointSize is that of an uncompressed point of a 256-bit curve, in bytes.
const pointSize = 65

// publicKeyHeader precedes an uncompressed P-256 point in public key data:
// 34 (public key data) › 49 (ECC public key template) › 86 (point).
var publicKeyHeader = [...]byte{0x34, 0x45, 0x49, 0x43, 0x86, 0x41}

// Point is an uncompressed point (04, X, Y: 65 bytes) of a 256-bit curve that Go does not
// know, which is brainpoolP256r1. It may serve as a crypto.PublicKey; whether it is on the
// curve, only the card tells.
type Point []byte

// Equal reports whether two points are the same.
func (p Point) Equal(other crypto.PublicKey) bool {
	q, ok := other.(Point)
	return ok && string(p) == string(q)
}

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

// AppendAnyPublicKey adds public key data (tag 34) for a key of any kind that the
// interface knows to dst: a P-256 key, a [Point], or an RSA key. The form of the last is
// not settled by any source: 34 › 49 › 81 modulus, 82 exponent, with BER lengths.
func AppendAnyPublicKey(dst []byte, key crypto.PublicKey) ([]byte, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return AppendPublicKey(dst, key)
	case *ecdh.PublicKey:
		if key == nil || key.Curve() != ecdh.P256() {
			return nil, fmt.Errorf("iotsafe: public key data: want a P-256 key")
		}
		return append(append(dst, publicKeyHeader[:]...), key.Bytes()...), nil
	case Point:
		if len(key) != pointSize || key[0] != 0x04 {
			return nil, fmt.Errorf("iotsafe: public key data: a point of %d bytes: want 04, X and Y, %d bytes", len(key), pointSize)
		}
		return append(append(dst, publicKeyHeader[:]...), key...), nil
	case *rsa.PublicKey:
		if key == nil || key.N == nil || key.E <= 0 {
			return nil, fmt.Errorf("iotsafe: public key data: the RSA key is empty")
		}
		b := tlv.Append(nil, tagModulus, key.N.Bytes()...)
		b = tlv.Append(b, tagExponent, big.NewInt(int64(key.E)).Bytes()...)
		return tlv.Append(dst, tlv.Tag(TagPublicKey), tlv.Append(nil, tagKeyTemplate, b...)...), nil
	}
	return nil, fmt.Errorf("iotsafe: public key data for a key of type %T", key)
}

// ParsePublicKey reads public key data, or a bare uncompressed point as some applets
// send it, and refuses a point that is not on P-256.
func ParsePublicKey(b []byte) (*ecdsa.PublicKey, error) {
	if len(b) == len(publicKeyHeader)+pointSize && [6]byte(b[:6]) == publicKeyHeader {
		b = b[6:]
	}
	if len(b) != pointSize {
		return nil, fmt.Errorf("iotsafe: %d bytes of public key data: want a P-256 point", len(b))
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("iotsafe: the card's public key is not a point of P-256: %w", err)
	}
	return key, nil
}

// ParseAnyPublicKey reads public key data of any kind: an *ecdsa.PublicKey for a point of
// P-256, a [Point] for another, an *rsa.PublicKey.
func ParseAnyPublicKey(b []byte) (crypto.PublicKey, error) {
	if len(b) == pointSize {
		return anyPoint(b)
	}
	field, rest, err := tlv.Next(b)
	if err == nil && (len(rest) > 0 || field.Tag != tlv.Tag(TagPublicKey)) {
		err = fmt.Errorf("want tag %02X alone", TagPublicKey)
	}
	var template tlv.Object
	if err == nil {
		template, rest, err = tlv.Next(field.Value)
	}
	if err == nil && (len(rest) > 0 || template.Tag != tagKeyTemplate) {
		err = fmt.Errorf("want tag %02X alone in tag %02X", uint32(tagKeyTemplate), TagPublicKey)
	}
	var parts []tlv.Object
	if err == nil {
		parts, err = tlv.Parse(template.Value)
	}
	if err != nil {
		return nil, fmt.Errorf("iotsafe: public key data: %w", err)
	}
	switch {
	case len(parts) == 1 && parts[0].Tag == tagPoint:
		return anyPoint(parts[0].Value)
	case len(parts) == 2 && parts[0].Tag == tagModulus && parts[1].Tag == tagExponent:
		return rsaPublicKey(parts[0].Value, parts[1].Value)
	}
	return nil, fmt.Errorf("iotsafe: public key data: want a point, or a modulus and an exponent")
}

func anyPoint(b []byte) (crypto.PublicKey, error) {
	if len(b) != pointSize || b[0] != 0x04 {
		return nil, fmt.Errorf("iotsafe: public key data: a point of %d bytes: want 04, X and Y, %d bytes", len(b), pointSize)
	}
	if key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), b); err == nil {
		return key, nil
	}
	return Point(append([]byte(nil), b...)), nil
}

// rsaPublicKey reads a key of 2048 bits, the only size of the interface.
func rsaPublicKey(modulus, exponent []byte) (*rsa.PublicKey, error) {
	n := new(big.Int).SetBytes(modulus)
	if n.BitLen() != 2048 || n.Bit(0) == 0 {
		return nil, fmt.Errorf("iotsafe: an RSA modulus of %d bits: want 2048, and odd", n.BitLen())
	}
	e := new(big.Int).SetBytes(exponent)
	if e.BitLen() < 2 || e.BitLen() > 31 || e.Bit(0) == 0 {
		return nil, fmt.Errorf("iotsafe: an RSA exponent of %d bits: want 2 to 31, and odd", e.BitLen())
	}
	return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}
