package scp03

import (
	"crypto/rand"
	"errors"
	"fmt"
)

// Keys are the static keys of one key set of a security domain. All three have the same
// size: 16, 24 or 32 bytes. Printing them in any way shows nothing of them.
type Keys struct {
	ENC []byte // Key-ENC, from which the session's cipher keys derive
	MAC []byte // Key-MAC, from which the session's MAC keys derive
	DEK []byte // key-encryption key for secrets inside commands; used as it is
}

// ErrKeySize says that keys cannot be keys of SCP03.
var ErrKeySize = errors.New("scp03: want three AES keys of one size: 16, 24 or 32 bytes")

// NewKeys draws three random keys of size bytes.
func NewKeys(size int) (Keys, error) {
	k := Keys{ENC: make([]byte, size), MAC: make([]byte, size), DEK: make([]byte, size)}
	for _, key := range [][]byte{k.ENC, k.MAC, k.DEK} {
		rand.Read(key)
	}
	return k, k.Check()
}

// Check is [ErrKeySize] if these cannot be keys of SCP03.
func (k Keys) Check() error {
	switch n := len(k.ENC); n {
	case 16, 24, 32:
		if len(k.MAC) == n && len(k.DEK) == n {
			return nil
		}
	}
	return ErrKeySize
}

// String tells the size of the keys only.
func (k Keys) String() string { return fmt.Sprintf("scp03 keys (AES-%d)", 8*len(k.ENC)) }

// Format makes every verb of package fmt print what [Keys.String] says.
func (k Keys) Format(f fmt.State, verb rune) { _, _ = f.Write([]byte(k.String())) }
