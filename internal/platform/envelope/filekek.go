package envelope

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/simroot/simroot/internal/platform/keyfile"
)

// FileKEK is a key-encryption key in a file: 32 bytes in hexadecimal, mode 0600.
type FileKEK struct{ key [keySize]byte }

// CreateFileKEK makes a new key in a new file.
func CreateFileKEK(file string, safe keyfile.Safe) (*FileKEK, error) {
	k := &FileKEK{}
	rand.Read(k.key[:]) // never fails (crypto/rand)
	return k, safe.Write(file, []byte(hex.EncodeToString(k.key[:])+"\n"))
}

// OpenFileKEK reads the key.
func OpenFileKEK(file string, safe keyfile.Safe) (*FileKEK, error) {
	text, err := safe.Read(file)
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != keySize {
		return nil, fmt.Errorf("%s is no key-encryption key: want %d bytes in hexadecimal", file, keySize)
	}
	return &FileKEK{key: [keySize]byte(key)}, nil
}

// ID implements [KEK].
func (k *FileKEK) ID() KEKID {
	mac := hmac.New(sha256.New, k.key[:])
	mac.Write([]byte("simroot key-encryption key, its ID"))
	return KEKID(mac.Sum(nil))
}

// String reveals nothing of the key.
func (*FileKEK) String() string { return "key-encryption key" }

// GoString reveals nothing of the key.
func (*FileKEK) GoString() string { return "key-encryption key" }

// kekLabel keeps wrapped data keys apart from everything else under the same key.
const kekLabel = "simroot data key, 1\x00"

// WrapKey implements [KEK].
func (k *FileKEK) WrapKey(_ context.Context, dataKey, record []byte) ([]byte, error) {
	return seal(nil, k.key[:], kekLabel+string(record), dataKey)
}

// UnwrapKey implements [KEK].
func (k *FileKEK) UnwrapKey(_ context.Context, wrapped, record []byte) ([]byte, error) {
	return open(k.key[:], kekLabel+string(record), wrapped)
}
