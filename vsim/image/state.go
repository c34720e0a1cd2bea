// Package image keeps a virtual SIM in one file, which a loss of power or kill -9 at any
// instant leaves complete: with the state before the change under way, or the state after it.
//
// The file begins with the line
//
//	simroot-vsim 1 <SHA-256 of the rest, in hexadecimal>
//
// and the rest is a [State] in JSON. It holds keys in clear, as the chip of a SIM does,
// and nobody but its owner may read it (mode 0600). The hash detects damage, not malice.
package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/domain"
	"github.com/simroot/simroot/vsim/uicc"
)

// State is everything that a virtual SIM keeps across power cycles.
type State struct {
	ICCID  string       `json:"iccid"` // in digits, see [card.ParseICCID]
	ATR    string       `json:"atr"`   // name of a profile, see [uicc.ATRs]
	Domain domain.State `json:"domain"`
	Applet applet.State `json:"applet"`
}

// Check tells whether a card can be built from the state.
func (s State) Check() error {
	if _, err := card.ParseICCID(s.ICCID); err != nil {
		return err
	}
	if uicc.ATRs[s.ATR] == nil {
		return fmt.Errorf("unknown ATR profile %q", s.ATR)
	}
	return s.Domain.Check()
}

// String names the card and nothing that is secret.
func (s State) String() string { return fmt.Sprintf("virtual SIM %s", s.ICCID) }

// Format makes every verb of package fmt print what [State.String] says.
func (s State) Format(f fmt.State, verb rune) { _, _ = f.Write([]byte(s.String())) }

// ErrDamaged says that a file is no complete image of a virtual SIM.
var ErrDamaged = errors.New("not a complete virtual SIM image")

const (
	magic   = "simroot-vsim 1 "
	header  = len(magic) + 2*sha256.Size + 1
	maxSize = 4 << 20 // of a file, in bytes; many times what a card can hold
)

func encode(s State) ([]byte, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", s, err)
	}
	sum := sha256.Sum256(body)
	b := make([]byte, 0, header+len(body))
	b = append(b, magic...)
	b = hex.AppendEncode(b, sum[:])
	b = append(b, '\n')
	return append(b, body...), nil
}

// decode reads what encode wrote. Its errors say nothing of the content, which is secret.
func decode(b []byte) (State, error) {
	if len(b) < header || !bytes.HasPrefix(b, []byte(magic)) || b[header-1] != '\n' {
		return State{}, fmt.Errorf("%w: its first line is not that of an image", ErrDamaged)
	}
	body := b[header:]
	sum := sha256.Sum256(body)
	if hex.EncodeToString(sum[:]) != string(b[len(magic):header-1]) {
		return State{}, fmt.Errorf("%w: the content does not match its hash", ErrDamaged)
	}
	var s State
	if err := json.Unmarshal(body, &s); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err := s.Check(); err != nil {
		return State{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, nil
}
