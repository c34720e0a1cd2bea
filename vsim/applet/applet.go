package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

const (
	scalarSize = 32
	pointSize  = 65
)

// Applet is one IoT SAFE applet.
type Applet struct {
	state  State
	iccid  [10]byte
	commit func(State) error
}

// New returns the applet with the given state, on the SIM with the given EF.ICCID
// content. commit makes a new state durable; it is called with a copy, and what it
// refuses is not done.
func New(s State, iccid [10]byte, commit func(State) error) *Applet {
	return &Applet{state: s.persistent(), iccid: iccid, commit: commit}
}

// AIDs lists the identifiers under which the applet is selected.
func (a *Applet) AIDs() [][]byte { return iotsafe.AIDs }

// Select ends all sessions of channel ch.
func (a *Applet) Select(ch int) (fci []byte, sw apdu.SW) { return nil, apdu.OK }

// Process carries out one command on channel ch.
func (a *Applet) Process(ch int, c apdu.Command) apdu.Response {
	return apdu.Response{SW: apdu.InstructionNot}
}

// Deselect ends all sessions of channel ch.
func (a *Applet) Deselect(ch int) {}

// Reset is what loss of power leaves.
func (a *Applet) Reset() {}

// BeginPersonalization starts a sequence of StoreData blocks.
func (a *Applet) BeginPersonalization(decrypt func([]byte) ([]byte, error)) {}

// StoreData carries out one block.
func (a *Applet) StoreData(p1, p2 byte, data []byte) apdu.Response {
	return apdu.Response{SW: apdu.InstructionNot}
}

// AbortPersonalization forgets the sequence under way, if any.
func (a *Applet) AbortPersonalization() {}

func (s *State) create(o iotsafe.Object) error {
	s.Objects = append(s.Objects, Container{Object: o})
	return nil
}
