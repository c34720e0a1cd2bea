package image

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// Passphrase protects an image: its content is enciphered with AES-256-GCM under a key that
// Argon2id (RFC 9106) derives from the passphrase. nil means none. Printing one in any
// way shows nothing of it.
type Passphrase []byte

// String hides the passphrase.
func (p Passphrase) String() string { return "a passphrase" }

// Format makes every verb of package fmt print what [Passphrase.String] says.
func (p Passphrase) Format(f fmt.State, verb rune) { _, _ = f.Write([]byte(p.String())) }

// Why an image under a passphrase is not opened.
var (
	ErrNoPassphrase    = errors.New("under a passphrase, and none was given")
	ErrWrongPassphrase = errors.New("the passphrase is not the one of this image")
)

// cost is what deriving the key takes; it is written in the image.
type cost struct {
	Passes, MiB uint32
	Lanes       uint8
}

// usual is the second recommended option of RFC 9106, section 4: for when a machine has
// little memory. It takes about a tenth of a second.
var usual = cost{Passes: 3, MiB: 64, Lanes: 4}

// most is what an image may ask of the machine that opens it.
var most = cost{Passes: 16, MiB: 1024, Lanes: 16}

const (
	saltSize = 16
	keySize  = 32
)

// vault is the key under which an image is written.
//
// Each state gets a random nonce of 96 bits. They may be used for 2^32 states, many more
// than a SIM sees.
type vault struct {
	parameters string // the line before the ciphertext, and its additional data
	aead       cipher.AEAD
}

// parametersForm is the line that says how the key is derived.
const parametersForm = "argon2id passes=%d MiB=%d lanes=%d salt=%x\n"

// newVault derives a key with a fresh salt.
func newVault(p Passphrase, c cost) (*vault, error) {
	salt := make([]byte, saltSize)
	rand.Read(salt)
	return deriveVault(p, c, salt)
}

func deriveVault(p Passphrase, c cost, salt []byte) (*vault, error) {
	key := argon2.IDKey(p, salt, c.Passes, c.MiB<<10, c.Lanes, keySize)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &vault{fmt.Sprintf(parametersForm, c.Passes, c.MiB, c.Lanes, salt), aead}, nil
}

// seal enciphers what follows the first line of an image.
func (v *vault) seal(body []byte) []byte {
	return v.aead.Seal([]byte(v.parameters), nil, body, []byte(v.parameters))
}

// openVault reads what seal wrote.
func openVault(b []byte, p Passphrase) (*vault, []byte, error) {
	end := bytes.IndexByte(b, '\n') + 1
	line := string(b[:end])
	var c cost
	var salt []byte
	if n, err := fmt.Sscanf(line, parametersForm, &c.Passes, &c.MiB, &c.Lanes, &salt); err != nil || n != 4 ||
		len(salt) != saltSize || fmt.Sprintf(parametersForm, c.Passes, c.MiB, c.Lanes, salt) != line {
		return nil, nil, fmt.Errorf("%w: it does not say how its key is derived", ErrDamaged)
	}
	if c.Passes < 1 || c.Passes > most.Passes || c.MiB < 1 || c.MiB > most.MiB || c.Lanes < 1 || c.Lanes > most.Lanes {
		return nil, nil, fmt.Errorf("%w: deriving its key would take more than it should", ErrDamaged)
	}
	if len(p) == 0 {
		return nil, nil, ErrNoPassphrase
	}
	v, err := deriveVault(p, c, salt)
	if err != nil {
		return nil, nil, err
	}
	body, err := v.aead.Open(nil, nil, b[end:], []byte(line))
	if err != nil {
		return nil, nil, ErrWrongPassphrase
	}
	return v, body, nil
}
