package applet

import (
	"crypto/ecdsa"
	"crypto/elliptic"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// Instructions of IoT.05.
const (
	insSignInit        byte = 0x2A
	insSignUpdate      byte = 0x2B
	insGetRandom       byte = 0x84
	insReadFile        byte = 0xB0
	insGenerateKeyPair byte = 0xB9
	insGetData         byte = 0xCB
	insReadPublicKey   byte = 0xCD
)

// MaxSessions is the most sessions that may be open on all channels together.
const MaxSessions = 8

// Applet is one IoT SAFE applet. It implements the interfaces of an application
// (vsim/uicc.App) that a security domain personalises (vsim/domain.Personalized).
type Applet struct {
	state  State
	iccid  [10]byte
	commit func(State) error

	keys     map[iotsafe.ID]*ecdsa.PrivateKey // parsed from state, as they are used
	sessions map[sessionID]*signing
	lists    map[int][][]byte // by channel: parts of an object list still to be asked for
	notices  map[perso.Ref]channels
	running  *transaction // nil: no personalisation is under way
}

// New returns the applet with the given state, on the SIM with the given EF.ICCID
// content. commit makes a new state durable before it returns nil. It is called with a
// copy of its own, and what it refuses is not done.
func New(s State, iccid [10]byte, commit func(State) error) *Applet {
	a := &Applet{state: s.persistent(), iccid: iccid, commit: commit}
	a.Reset()
	return a
}

// AIDs lists the names under which the applet is selected.
func (a *Applet) AIDs() [][]byte {
	if len(a.state.AIDs) > 0 {
		return a.state.AIDs
	}
	return iotsafe.AIDs
}

// Select ends all sessions of channel ch.
func (a *Applet) Select(ch int) (fci []byte, sw apdu.SW) {
	a.Deselect(ch)
	return nil, apdu.OK
}

// Deselect ends all sessions of channel ch.
func (a *Applet) Deselect(ch int) {
	for id := range a.sessions {
		if id.channel == ch {
			delete(a.sessions, id)
		}
	}
	delete(a.lists, ch)
}

// Reset is what loss of power leaves: the durable state.
func (a *Applet) Reset() {
	a.AbortPersonalization()
	a.state.forgetVolatile()
	a.keys = map[iotsafe.ID]*ecdsa.PrivateKey{}
	a.sessions = map[sessionID]*signing{}
	a.lists = map[int][][]byte{}
	a.notices = map[perso.Ref]channels{}
}

// State is a copy of what the applet keeps, private keys and secrets included.
func (a *Applet) State() State { return a.state.persistent() }

// Process carries out one command on channel ch. It takes every class byte that names
// a channel, and returns all data at once, whatever Le says; see vsim/uicc.
func (a *Applet) Process(ch int, c apdu.Command) apdu.Response {
	if apdu.Secured(c.CLA) {
		return refuse(apdu.SecureMessagingNot)
	}
	if !a.state.Capabilities.HasInstruction(c.INS) {
		return refuse(apdu.InstructionNot)
	}
	switch c.INS {
	case insGetData:
		return a.getData(ch, c)
	case insGetRandom:
		return a.getRandom(c)
	case insReadFile:
		return a.readFile(ch, c)
	}
	if a.state.Type == 2 {
		// A Type II applet does not have the instructions for asymmetric keys.
		return refuse(apdu.InstructionNot)
	}
	switch c.INS {
	case insReadPublicKey:
		return a.readPublicKey(ch, c)
	case insGenerateKeyPair:
		return a.generateKeyPair(ch, c)
	case insSignInit:
		return a.signInit(ch, c)
	case insSignUpdate:
		return a.signUpdate(ch, c)
	}
	return refuse(apdu.InstructionNot)
}

// save makes s durable and puts it in the place of the state, or leaves everything as
// it was.
func (a *Applet) save(s State) apdu.SW {
	if err := a.commit(s.persistent()); err != nil {
		return apdu.MemoryFailure
	}
	a.replace(s)
	return apdu.OK
}

func (a *Applet) replace(s State) {
	a.state = s
	clear(a.keys)
}

// key is the private key in container c of the state. Parsing takes longer than signing,
// so it is done once.
func (a *Applet) key(c *Container) (*ecdsa.PrivateKey, bool) {
	if key, ok := a.keys[c.Object.ID]; ok {
		return key, true
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), c.Content)
	if err != nil {
		return nil, false
	}
	a.keys[c.Object.ID] = key
	return key, true
}

func refuse(sw apdu.SW) apdu.Response { return apdu.Response{SW: sw} }

func answer(data []byte) apdu.Response { return apdu.Response{Data: data, SW: apdu.OK} }
