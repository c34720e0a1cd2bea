package api

import (
	"crypto/ecdh"
	"crypto/hpke"
	"fmt"
)

// SealKeySize is the size of a sealing key, public or private, in bytes (X25519).
const SealKeySize = 32

// suite is the one HPKE suite in use (RFC 9180): DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256, AES-256-GCM.
func suite() (hpke.KDF, hpke.AEAD) { return hpke.HKDFSHA256(), hpke.AES256GCM() }

// GenerateSealKey makes a key pair for [Seal] and [OpenSealed].
func GenerateSealKey() (private, public []byte, err error) {
	key, err := hpke.DHKEM(ecdh.X25519()).GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	private, err = key.Bytes()
	return private, key.PublicKey().Bytes(), err
}

// SealPublic is the public half of a private sealing key.
func SealPublic(private []byte) ([]byte, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	return key.PublicKey().Bytes(), nil
}

// Seal encrypts plaintext to the holder of a sealing key (RFC 9180, base mode). Info
// binds the result to its purpose: opening needs the same.
func Seal(public []byte, info string, plaintext []byte) ([]byte, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	kdf, aead := suite()
	return hpke.Seal(key, kdf, aead, []byte(info), plaintext)
}

// OpenSealed decrypts what [Seal] made for the given private key and info.
func OpenSealed(private []byte, info string, sealed []byte) ([]byte, error) {
	o, err := NewOpener(private)
	if err != nil {
		return nil, err
	}
	return o.Open(info, sealed)
}

// Opener is a private sealing key that is used often. It is safe for concurrent use.
type Opener struct{ key hpke.PrivateKey }

// NewOpener prepares a private sealing key.
func NewOpener(private []byte) (*Opener, error) {
	key, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	return &Opener{key}, nil
}

// Open decrypts what [Seal] made for the key and the given info.
func (o *Opener) Open(info string, sealed []byte) ([]byte, error) {
	kdf, aead := suite()
	plaintext, err := hpke.Open(o.key, kdf, aead, []byte(info), sealed)
	if err != nil {
		return nil, fmt.Errorf("open a sealed secret: it was sealed to another key or for another purpose, or was altered")
	}
	return plaintext, nil
}
