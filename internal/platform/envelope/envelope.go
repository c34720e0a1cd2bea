// Package envelope encrypts the secrets that the platform stores: keys of SIMs and PSKs.
//
// Each secret has a data key of its own (AES-256-GCM), which travels beside it, encrypted
// under a key-encryption key ([KEK]). That one sits in a file ([FileKEK]), in a key service
// ([RSAKEK]) or behind whatever else implements the interface, and never has to see the
// secrets. The name of the record that a secret belongs to is authenticated with it: a secret
// that was moved to another record cannot be opened.
//
// An envelope is a version byte (2), the KEK's ID (8 bytes), the encrypted data key behind its
// length (2 bytes, big-endian), a nonce (12 bytes) and the ciphertext with its tag (16 bytes).
//
// Version 1, of the first release, lacks the KEK's ID: such an envelope opens with whichever of the
// keys in use it is under, and [Envelope.Rewrap] brings it up to date. No new ones are made.
//
// Several KEKs may be in use: new envelopes are made under one of them, and all of them open.
// An envelope moves to another KEK ([Envelope.Rewrap]) by its data key alone.
package envelope

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
)

const (
	version   = 2
	version1  = 1 // without the KEK's ID
	keySize   = 32
	nonceSize = 12
	tagSize   = 16
	headSize  = 1 + len(KEKID{}) + 2
	headSize1 = 1 + 2
)

// KEKID names a key-encryption key. It follows from the key itself.
type KEKID [8]byte

func (id KEKID) String() string { return hex.EncodeToString(id[:]) }

// KEK encrypts data keys. A key management service can be one.
type KEK interface {
	// ID tells this key from all others.
	ID() KEKID
	// WrapKey encrypts a data key of 32 bytes for the given record.
	WrapKey(ctx context.Context, dataKey, record []byte) ([]byte, error)
	// UnwrapKey decrypts what WrapKey made for the same record.
	UnwrapKey(ctx context.Context, wrapped, record []byte) ([]byte, error)
}

// UnknownKEKError means that an envelope is under a key-encryption key that is not among those
// in use.
type UnknownKEKError struct{ ID KEKID }

func (e *UnknownKEKError) Error() string {
	return fmt.Sprintf("it is under key-encryption key %s, which this platform does not have: add that key", e.ID)
}

// Envelope seals and opens secrets. It is safe for concurrent use.
type Envelope struct{ keys atomic.Pointer[keys] }

type keys struct {
	current KEK
	all     map[KEKID]KEK
}

// New returns an envelope under a key-encryption key. The others only open.
func New(current KEK, others ...KEK) *Envelope {
	e := &Envelope{}
	e.Use(current, others...)
	return e
}

// Use puts other key-encryption keys in the place of those in use.
func (e *Envelope) Use(current KEK, others ...KEK) {
	k := &keys{current: current, all: map[KEKID]KEK{current.ID(): current}}
	for _, other := range others {
		k.all[other.ID()] = other
	}
	e.keys.Store(k)
}

// Current is the ID of the key that new envelopes are made under.
func (e *Envelope) Current() KEKID { return e.keys.Load().current.ID() }

// Has tells whether a key is in use.
func (e *Envelope) Has(id KEKID) bool { return e.keys.Load().all[id] != nil }

// Seal encrypts the secret of a record.
func (e *Envelope) Seal(ctx context.Context, record string, secret []byte) ([]byte, error) {
	finish, err := e.Ahead(ctx, record)
	if err != nil {
		return nil, err
	}
	return finish(secret)
}

// Ahead is the part of [Envelope.Seal] that may wait for a key service. The secret, which may be known later
// only, is sealed by what it returns, once and for no other secret.
func (e *Envelope) Ahead(ctx context.Context, record string) (finish func(secret []byte) ([]byte, error), err error) {
	dataKey := make([]byte, keySize)
	rand.Read(dataKey) // never fails (crypto/rand)
	out, err := e.head(ctx, record, dataKey, nonceSize+tagSize)
	if err != nil {
		clear(dataKey)
		return nil, err
	}
	return func(secret []byte) ([]byte, error) {
		if dataKey == nil {
			return nil, fmt.Errorf("envelope: %s: this was for one secret, and there has been one", record)
		}
		defer func() { clear(dataKey); dataKey = nil }()
		return seal(out, dataKey, record, secret)
	}, nil
}

// head is an envelope up to the nonce, with room for more.
func (e *Envelope) head(ctx context.Context, record string, dataKey []byte, more int) ([]byte, error) {
	kek := e.keys.Load().current
	wrapped, err := kek.WrapKey(ctx, dataKey, []byte(record))
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	if len(wrapped) > 0xFFFF {
		return nil, fmt.Errorf("envelope: %s: a wrapped key of %d bytes", record, len(wrapped))
	}
	id := kek.ID()
	out := make([]byte, 0, headSize+len(wrapped)+more)
	out = append(append(out, version), id[:]...)
	out = binary.BigEndian.AppendUint16(out, uint16(len(wrapped)))
	return append(out, wrapped...), nil
}

// Open decrypts the secret of a record.
func (e *Envelope) Open(ctx context.Context, record string, sealed []byte) ([]byte, error) {
	dataKey, rest, err := e.dataKey(ctx, record, sealed)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	defer clear(dataKey)
	secret, err := open(dataKey, record, rest)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	return secret, nil
}

// dataKey decrypts the data key of an envelope; rest is what lies under it.
func (e *Envelope) dataKey(ctx context.Context, record string, sealed []byte) (dataKey, rest []byte, err error) {
	size := headSize
	if len(sealed) > 0 && sealed[0] == version1 {
		size = headSize1
	}
	if len(sealed) < size || sealed[0] != version && sealed[0] != version1 {
		return nil, nil, errors.New("this is no envelope")
	}
	n := int(binary.BigEndian.Uint16(sealed[size-2:]))
	if rest = sealed[size:]; len(rest) < n {
		return nil, nil, errors.New("the envelope is cut short")
	}
	wrapped, rest := rest[:n], rest[n:]
	all := e.keys.Load().all
	if sealed[0] == version1 {
		dataKey, err = unwrapWithAny(ctx, all, wrapped, record)
		return dataKey, rest, err
	}
	id := KEKID(sealed[1:])
	kek := all[id]
	if kek == nil {
		return nil, nil, &UnknownKEKError{id}
	}
	dataKey, err = kek.UnwrapKey(ctx, wrapped, []byte(record))
	return dataKey, rest, err
}

// unwrapWithAny decrypts a data key under a key-encryption key that is not named.
func unwrapWithAny(ctx context.Context, all map[KEKID]KEK, wrapped []byte, record string) ([]byte, error) {
	for _, kek := range all {
		if dataKey, err := kek.UnwrapKey(ctx, wrapped, []byte(record)); err == nil {
			return dataKey, nil
		}
	}
	return nil, fmt.Errorf("no key-encryption key of this platform opens it: %w; if it is under another, add that key", errNotGenuine)
}

// Rewrap moves the envelope of a record under the current key, in the current version. It opens the secret, which
// it clears, lest what cannot be opened be carried on.
func (e *Envelope) Rewrap(ctx context.Context, record string, sealed []byte) ([]byte, error) {
	dataKey, rest, err := e.dataKey(ctx, record, sealed)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	defer clear(dataKey)
	secret, err := open(dataKey, record, rest)
	clear(secret)
	if err != nil {
		return nil, fmt.Errorf("envelope: %s: %w", record, err)
	}
	out, err := e.head(ctx, record, dataKey, len(rest))
	return append(out, rest...), err
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
