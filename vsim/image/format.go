package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
)

// ErrDamaged says that a file is no complete image of a virtual SIM.
var ErrDamaged = errors.New("not a complete virtual SIM image")

// The beginnings of images, which have the same length.
const (
	magic  = "simroot-vsim "
	clear1 = magic + "1 " // the rest is JSON
	under2 = magic + "2 " // the rest is enciphered

	header  = len(clear1) + 2*sha256.Size + 1
	maxSize = 4 << 20 // of a file, in bytes; many times what a card can hold
)

// encode makes the file of a state, in a vault if there is one.
func encode(s State, v *vault) ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", s, err)
	}
	format := clear1
	if v != nil {
		format, body = under2, v.seal(body)
	}
	sum := sha256.Sum256(body)
	b := make([]byte, 0, header+len(body))
	b = append(b, format...)
	b = hex.AppendEncode(b, sum[:])
	b = append(b, '\n')
	return append(b, body...), nil
}

// decode reads what encode wrote, and returns the vault if the file is in one, so that
// the next state gets there too. Its errors say nothing of the content, which is secret.
func decode(b []byte, p Passphrase) (State, *vault, error) {
	format, body, err := open(b)
	if err != nil {
		return State{}, nil, err
	}
	var v *vault
	if format == under2 {
		if v, body, err = openVault(body, p); err != nil {
			return State{}, nil, err
		}
	}
	var s State
	if err := json.Unmarshal(body, &s); err != nil {
		return State{}, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := s.Check(); err != nil {
		return State{}, nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, v, nil
}

// open checks the first line and the hash.
func open(b []byte) (format string, body []byte, err error) {
	if len(b) < header || b[header-1] != '\n' {
		return "", nil, fmt.Errorf("%w: its first line is not that of an image", ErrDamaged)
	}
	format, body = string(b[:len(clear1)]), b[header:]
	if format != clear1 && format != under2 {
		if bytes.HasPrefix(b, []byte(magic)) {
			return "", nil, fmt.Errorf("%w: its format %q is not one that this version knows", ErrDamaged, b[len(magic)])
		}
		return "", nil, fmt.Errorf("%w: its first line is not that of an image", ErrDamaged)
	}
	sum := sha256.Sum256(body)
	if hex.EncodeToString(sum[:]) != string(b[len(clear1):header-1]) {
		return "", nil, fmt.Errorf("%w: the content does not match its hash", ErrDamaged)
	}
	return format, body, nil
}
