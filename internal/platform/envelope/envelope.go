// Package envelope encrypts the secrets that the platform stores: keys of SIMs and PSKs.
//
// Each secret has a data key of its own (AES-256-GCM), which travels beside it, encrypted
// under the key-encryption key ([KEK]). That one sits in a file ([FileKEK]) or behind whatever
// else implements the interface, and never has to see the secrets. The name of the record
// that a secret belongs to is authenticated with it: a secret that was moved to another
// record cannot be opened.
//
// An envelope is a version byte (1), the encrypted data key behind its length (2 bytes,
// big-endian), a nonce (12 bytes) and the ciphertext with its tag (16 bytes).
package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	version   = 1
	keySize   = 32
	nonceSize = 12
	tagSize   = 16
	headSize  = 3
)

// KEK encrypts data keys. A key management service can be one.
type KEK interface {
	// WrapKey encrypts a data key of 32 bytes, bound to the given record.
	WrapKey(ctx context.Context, dataKey, record []byte) ([]byte, error)
	// UnwrapKey decrypts what WrapKey made for the same record.
	UnwrapKey(ctx context.Context, wrapped, record []byte) ([]byte, error)
}

// Envelope seals and opens secrets. It is safe for concurrent use.
type Envelope struct{ kek KEK }

// New returns an envelope under a key-encryption key.
func New(kek KEK) *Envelope { return &Envelope{kek: kek} }

// Seal encrypts the secret of a record.
func (e *Envelope) Seal(ctx context.Context, record string, secret []byte) ([]byte, error) {
	var dataKey [keySize]byte
	rand.Read(dataKey[:]) // never fails (crypto/rand)
	defer clear(dataKey[:])
	wrapped, err := e.kek.WrapKey(ctx, dataKey[:], []byte(record))
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	if len(wrapped) > 0xFFFF {
		return nil, fmt.Errorf("envelope: %s: a wrapped key of %d bytes", record, len(wrapped))
	}
	out := make([]byte, 0, headSize+len(wrapped)+nonceSize+len(secret)+tagSize)
	out = append(out, version)
	out = binary.BigEndian.AppendUint16(out, uint16(len(wrapped)))
	out = append(out, wrapped...)
	return seal(out, dataKey[:], record, secret)
}

// Open decrypts the secret of a record.
func (e *Envelope) Open(ctx context.Context, record string, sealed []byte) ([]byte, error) {
	if len(sealed) < headSize || sealed[0] != version {
		return nil, fmt.Errorf("envelope: %s: this is no envelope", record)
	}
	n := int(binary.BigEndian.Uint16(sealed[1:]))
	rest := sealed[headSize:]
	if len(rest) < n {
		return nil, fmt.Errorf("envelope: %s: the envelope is cut short", record)
	}
	dataKey, err := e.kek.UnwrapKey(ctx, rest[:n], []byte(record))
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	defer clear(dataKey)
	secret, err := open(dataKey, record, rest[n:])
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	return secret, nil
}

// seal appends a nonce and the ciphertext of plain to dst.
func seal(dst, key []byte, additional string, plain []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	var nonce [nonceSize]byte
	rand.Read(nonce[:]) // never fails (crypto/rand)
	return aead.Seal(append(dst, nonce[:]...), nonce[:], plain, []byte(additional)), nil
}

var errNotGenuine = errors.New("it was sealed under another key or for another record, or was altered")

func open(key []byte, additional string, sealed []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < nonceSize+tagSize {
		return nil, errNotGenuine
	}
	plain, err := aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], []byte(additional))
	if err != nil {
		return nil, errNotGenuine
	}
	return plain, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
