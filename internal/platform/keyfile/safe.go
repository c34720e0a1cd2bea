package keyfile

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/argon2"
)

// Safe keeps key files, encrypted if it has a passphrase. It opens both kinds of files, so that
// a passphrase may come later for new keys. No verb of package fmt prints the passphrase.
type Safe struct {
	passphrase []byte
	derived    *derived
}

// derived are the keys that were made of the passphrase, which takes a good part of a second for
// each salt. The files that one Safe writes have one salt.
type derived struct {
	mu   sync.Mutex
	own  [saltSize]byte // for new files
	keys map[[saltSize]byte][]byte
}

// NewSafe returns a safe that encrypts new files under a passphrase; with an empty one it does not.
func NewSafe(passphrase []byte) Safe {
	d := &derived{keys: make(map[[saltSize]byte][]byte)}
	rand.Read(d.own[:]) // never fails (crypto/rand)
	return Safe{bytes.Clone(passphrase), d}
}

// String reveals nothing.
func (Safe) String() string { return "safe" }

// GoString reveals nothing.
func (Safe) GoString() string { return "safe" }

// ErrPassphrase means that a file is encrypted under another passphrase, or was altered.
var ErrPassphrase = errors.New("it does not open with this passphrase")

// An encrypted file is a PEM block with a salt (16 bytes), a nonce (12 bytes) and the content
// under AES-256-GCM, whose key Argon2id (RFC 9106) makes of the passphrase and the salt.
const (
	sealedType    = "SIMROOT SEALED KEY"
	saltSize      = 16
	nonceSize     = 12
	argonTime     = 3
	argonMemory   = 64 << 10 // KiB
	argonThreads  = 4
	sealedAddress = "simroot sealed key, 1" // additional data
)

func (s Safe) aead(salt [saltSize]byte) (cipher.AEAD, error) {
	s.derived.mu.Lock()
	defer s.derived.mu.Unlock()
	key := s.derived.keys[salt]
	if key == nil {
		key = argon2.IDKey(s.passphrase, salt[:], argonTime, argonMemory, argonThreads, 32)
		s.derived.keys[salt] = key
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Write makes a new file as [Write] does.
func (s Safe) Write(file string, content []byte) error {
	if len(s.passphrase) == 0 {
		return Write(file, content)
	}
	sealed := make([]byte, saltSize+nonceSize, saltSize+nonceSize+len(content)+16)
	copy(sealed, s.derived.own[:])
	rand.Read(sealed[saltSize:]) // never fails (crypto/rand)
	aead, err := s.aead(s.derived.own)
	if err != nil {
		return err
	}
	sealed = aead.Seal(sealed, sealed[saltSize:], content, []byte(sealedAddress))
	return Write(file, pem.EncodeToMemory(&pem.Block{Type: sealedType, Bytes: sealed}))
}

// Read reads a file as [Read] does.
func (s Safe) Read(file string) ([]byte, error) {
	content, err := Read(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != sealedType {
		return content, nil
	}
	if len(s.passphrase) == 0 {
		return nil, fmt.Errorf("%s is encrypted: give the file with its passphrase", file)
	}
	if len(block.Bytes) < saltSize+nonceSize {
		return nil, fmt.Errorf("%s: %w", file, ErrPassphrase)
	}
	aead, err := s.aead([saltSize]byte(block.Bytes))
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, block.Bytes[saltSize:saltSize+nonceSize], block.Bytes[saltSize+nonceSize:], []byte(sealedAddress))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, ErrPassphrase)
	}
	return plain, nil
}
