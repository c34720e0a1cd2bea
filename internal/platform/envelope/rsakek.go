package envelope

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" //nolint:gosec // see [RSAKEK]
	"crypto/sha256"
	"crypto/x509"
	"fmt"
)

// RSAKEK is a key-encryption key that never leaves a key service: data keys are encrypted to
// its public half (RSA-OAEP, RFC 8017, 7.1), and decrypted where it lies. That is what
// PKCS#11 tokens and clouds have in common.
//
// OAEP is used with SHA-256 if the service knows it, and otherwise with SHA-1, whose weakness
// does not matter there; SoftHSM knows nothing else. Key services take no label, so the record is
// bound by the secret's own encryption only.
type RSAKEK struct {
	id        KEKID
	public    *rsa.PublicKey
	decrypter crypto.Decrypter
	hash      crypto.Hash // for new wrapped keys
}

// The first byte of a wrapped key: the hash of its OAEP.
var oaepHashes = map[byte]crypto.Hash{1: crypto.SHA1, 2: crypto.SHA256}

// NewRSAKEK takes a key into use, once it has decrypted what is encrypted to it.
func NewRSAKEK(decrypter crypto.Decrypter) (*RSAKEK, error) {
	public, ok := decrypter.Public().(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("a key-encryption key of type %T: want RSA", decrypter.Public())
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	k := &RSAKEK{id: KEKID(sum[:]), public: public, decrypter: decrypter}
	for _, k.hash = range []crypto.Hash{crypto.SHA256, crypto.SHA1} {
		if err = k.try(); err == nil {
			return k, nil
		}
	}
	return nil, fmt.Errorf("key-encryption key %s does not decrypt what is encrypted to it: %w", k.id, err)
}

// try encrypts and decrypts something.
func (k *RSAKEK) try() error {
	var probe [keySize]byte
	rand.Read(probe[:]) // never fails (crypto/rand)
	wrapped, err := k.WrapKey(context.Background(), probe[:], nil)
	if err != nil {
		return err
	}
	back, err := k.UnwrapKey(context.Background(), wrapped, nil)
	if err == nil && string(back) != string(probe[:]) {
		err = errNotGenuine
	}
	return err
}

// ID implements [KEK].
func (k *RSAKEK) ID() KEKID { return k.id }

// WrapKey implements [KEK].
func (k *RSAKEK) WrapKey(_ context.Context, dataKey, _ []byte) ([]byte, error) {
	wrapped, err := rsa.EncryptOAEP(k.hash.New(), rand.Reader, k.public, dataKey, nil)
	if err != nil {
		return nil, err
	}
	for code, hash := range oaepHashes {
		if hash == k.hash {
			wrapped = append([]byte{code}, wrapped...)
		}
	}
	return wrapped, nil
}

// UnwrapKey implements [KEK].
func (k *RSAKEK) UnwrapKey(_ context.Context, wrapped, _ []byte) ([]byte, error) {
	if len(wrapped) != 1+k.public.Size() {
		return nil, errNotGenuine
	}
	hash, ok := oaepHashes[wrapped[0]]
	if !ok {
		return nil, errNotGenuine
	}
	dataKey, err := k.decrypter.Decrypt(rand.Reader, wrapped[1:], &rsa.OAEPOptions{Hash: hash})
	if err != nil {
		return nil, fmt.Errorf("key-encryption key %s: %w", k.id, err)
	}
	if len(dataKey) != keySize {
		return nil, errNotGenuine
	}
	return dataKey, nil
}
