// Package image keeps a virtual SIM in one file, which a loss of power or kill -9 at any
// instant leaves complete: with the state before the change under way, or the state after it.
//
// The file begins with the line
//
//	simroot-vsim 1 <SHA-256 of the rest, in hexadecimal>
//
// and the rest is a [State] in JSON. It holds keys in clear, as the chip of a SIM does,
// and nobody but its owner may read it (mode 0600). The hash detects damage, not malice.
//
// An image under a passphrase says 2 instead of 1, and the rest is enciphered; see
// [Passphrase]. Without a passphrase nobody reads it or changes it unnoticed.
package image

import (
	"fmt"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/vsim/applet"
	"github.com/simroot/simroot/vsim/domain"
	"github.com/simroot/simroot/vsim/model"
	"github.com/simroot/simroot/vsim/uicc"
)

// State is everything that a virtual SIM keeps across power cycles.
type State struct {
	ICCID   string       `json:"iccid"`             // in digits, see [card.ParseICCID]
	ATR     string       `json:"atr"`               // name of a profile, see [uicc.ATRs]
	Profile string       `json:"profile,omitempty"` // with which it was made, for people
	Model   string       `json:"model,omitempty"`   // of the card that it behaves as, see package model; "": of none
	Domain  domain.State `json:"domain"`
	Applet  applet.State `json:"applet"`
}

// Check tells whether a card can be built from the state.
func (s State) Check() error {
	if _, err := card.ParseICCID(s.ICCID); err != nil {
		return err
	}
	if uicc.ATRs[s.ATR] == nil {
		return fmt.Errorf("unknown ATR profile %q", s.ATR)
	}
	if s.Model != "" {
		m, err := model.Named(s.Model)
		if err == nil {
			err = m.Carries(s.Applet)
		}
		if err != nil {
			return err
		}
	}
	return s.Domain.Check()
}

// String names the card and nothing that is secret.
func (s State) String() string { return fmt.Sprintf("virtual SIM %s", s.ICCID) }

// Format makes every verb of package fmt print what [State.String] says.
func (s State) Format(f fmt.State, verb rune) { _, _ = f.Write([]byte(s.String())) }
