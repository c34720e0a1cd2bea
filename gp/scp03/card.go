package scp03

import (
	"crypto/subtle"

	"github.com/simroot/simroot/apdu"
)

// Identity is what a security domain tells of itself in its answer to INITIALIZE UPDATE.
type Identity struct {
	Diversification [10]byte // key diversification data, by which a host finds the keys
	KeyVersion      byte
	AID             []byte // of the security domain; the card challenge depends on it
}

// MaxSequenceCounter is the last value of a sequence counter (three bytes).
const MaxSequenceCounter = 1<<24 - 1

// Card is the card's end of one session (S8, i=70: pseudo-random challenge, R-MAC, R-ENC).
// It is not safe for concurrent use.
type Card struct {
	keys    Keys
	session *session
	open    bool
	last    exchange // of the command that is being answered
}

// NewCard begins a session for a host's challenge and returns it with the data that
// answers INITIALIZE UPDATE. The counter must be higher than ever before for these keys,
// and stored before the answer leaves.
func NewCard(keys Keys, id Identity, counter uint32, hostChallenge [8]byte) (*Card, []byte, error) {
	if err := keys.Check(); err != nil {
		return nil, nil, err
	}
	challenge := cardChallenge(keys.ENC, counter, id.AID)
	s := newSession(keys, hostChallenge, challenge)
	answer := initializeAnswer{
		diversification: id.Diversification,
		version:         id.KeyVersion,
		i:               iPseudoRandom | iRMAC | iRENC,
		challenge:       challenge,
		cryptogram:      [8]byte(s.cryptogram(cardCryptogram)),
		counter:         counter,
	}
	return &Card{keys: keys, session: s}, answer.bytes(), nil
}

// Authenticate checks EXTERNAL AUTHENTICATE and opens the session: [apdu.OK]. 6300 says
// that the host does not hold the keys, 6982 that it does not prove it: both are failed
// authentications. Other status words refuse the form of the command. After any of them
// the session is over.
func (c *Card) Authenticate(command apdu.Command) apdu.SW {
	s := c.session
	if s == nil || c.open {
		return apdu.ConditionsNot
	}
	c.session = nil
	level := Level(command.P1)
	switch {
	case !securedClass(command.CLA):
		return apdu.SecurityNotSatisfied
	case level.Check() != nil || command.P2 != 0:
		return apdu.WrongP1P2
	case len(command.Data) != cryptogramSize+macSize:
		return apdu.WrongLength
	}
	plain, authentic := s.verify(command)
	if subtle.ConstantTimeCompare(s.cryptogram(hostCryptogram), command.Data[:cryptogramSize]) != 1 {
		return apdu.AuthenticationFailed
	}
	if !authentic || len(plain.Data) != cryptogramSize {
		return apdu.SecurityNotSatisfied
	}
	s.level = level
	c.session, c.open = s, true
	return apdu.OK
}

// Open tells whether the session is authenticated and has not ended.
func (c *Card) Open() bool { return c.open }

// Level is what the open session protects; 0 if none is open.
func (c *Card) Level() Level {
	if !c.open {
		return 0
	}
	return c.session.level
}

// Unwrap checks a command and removes its protection. Anything but [apdu.OK] has ended the
// session. The plain command keeps the channel of its class byte.
func (c *Card) Unwrap(command apdu.Command) (apdu.Command, apdu.SW) {
	if !c.open {
		return apdu.Command{}, apdu.SecurityNotSatisfied
	}
	plain, e, ok := c.session.unwrapCommand(command)
	if !ok {
		c.End()
		return apdu.Command{}, apdu.SecurityNotSatisfied
	}
	c.last = e
	return plain, apdu.OK
}

// Wrap protects the answer to the command that was unwrapped last. Answers with an error
// status word leave bare and without data.
func (c *Card) Wrap(r apdu.Response) apdu.Response {
	if !c.open {
		return apdu.Response{SW: r.SW}
	}
	return c.session.wrapResponse(c.last, r)
}

// DecryptSensitive recovers what [Host.EncryptSensitive] enciphered.
func (c *Card) DecryptSensitive(encrypted []byte) ([]byte, error) {
	return decryptSensitive(c.keys.DEK, encrypted)
}

// End ends the session.
func (c *Card) End() { c.open, c.session = false, nil }
