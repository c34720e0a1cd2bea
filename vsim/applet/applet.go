package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// Instructions of IoT.05.
const (
	insPutKeyInit      byte = 0x24
	insSignInit        byte = 0x2A
	insSignUpdate      byte = 0x2B
	insVerifyInit      byte = 0x2C
	insVerifyUpdate    byte = 0x2D
	insComputeDH       byte = 0x46
	insComputePRF      byte = 0x48
	insComputeHKDF     byte = 0x4A
	insGetRandom       byte = 0x84
	insReadFile        byte = 0xB0
	insGenerateKeyPair byte = 0xB9
	insGetData         byte = 0xCB
	insReadPublicKey   byte = 0xCD
	insPutKeyUpdate    byte = 0xD8
)

// Instructions of simroot's own services. Neither IoT.05 nor what else is spoken with a
// UICC (ETSI TS 102 221, GlobalPlatform) uses them.
const (
	insHashInit      byte = 0x5A
	insHashUpdate    byte = 0x5B
	insEncryptInit   byte = 0x5C
	insEncryptUpdate byte = 0x5D
	insDecryptInit   byte = 0x5E
	insDecryptUpdate byte = 0x5F
)

// MaxSessions is the most sessions that may be open on all channels together.
const MaxSessions = 8

// Applet is one IoT SAFE applet. It implements the interfaces of an application
// (vsim/uicc.App) that a security domain personalises (vsim/domain.Personalized).
type Applet struct {
	state  State
	iccid  [10]byte
	commit func(State) error

	keys     map[iotsafe.ID]privateKey // parsed from state, as they are used
	sessions map[sessionID]*session
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
	a.keys = map[iotsafe.ID]privateKey{}
	a.sessions = map[sessionID]*session{}
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
	case insComputePRF:
		return a.computePRF(ch, c)
	case insComputeHKDF:
		return a.computeHKDF(ch, c)
	case insHashInit:
		return a.initSession(ch, c, a.prepareHashing)
	case insHashUpdate:
		return a.updateSession(ch, insHashInit, c)
	case insEncryptInit:
		return a.initSession(ch, c, a.prepareEncrypting)
	case insEncryptUpdate:
		return a.updateSession(ch, insEncryptInit, c)
	case insDecryptInit:
		return a.initSession(ch, c, a.prepareDecrypting)
	case insDecryptUpdate:
		return a.updateSession(ch, insDecryptInit, c)
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
		return a.initSession(ch, c, a.prepareSigning)
	case insSignUpdate:
		return a.updateSession(ch, insSignInit, c)
	case insVerifyInit:
		return a.initSession(ch, c, a.prepareVerifying)
	case insVerifyUpdate:
		return a.updateSession(ch, insVerifyInit, c)
	case insPutKeyInit:
		return a.initSession(ch, c, a.preparePutting)
	case insPutKeyUpdate:
		return a.updateSession(ch, insPutKeyInit, c)
	case insComputeDH:
		return a.computeDH(ch, c)
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

func refuse(sw apdu.SW) apdu.Response { return apdu.Response{SW: sw} }

func answer(data []byte) apdu.Response { return apdu.Response{Data: data, SW: apdu.OK} }
