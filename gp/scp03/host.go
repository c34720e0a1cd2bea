package scp03

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/simroot/simroot/apdu"
)

// What a host finds wrong with a card.
var (
	// ErrCardCryptogram says that the card does not prove the keys: they are not those of
	// this card, or it is no card at all.
	ErrCardCryptogram = errors.New("scp03: the card does not hold the expected keys")

	// ErrKeyVersion says that the card answered for another key set than was asked.
	ErrKeyVersion = errors.New("scp03: the card answered with another key version")

	// ErrProtocol says that the answer to INITIALIZE UPDATE is none of SCP03 in S8 mode, or
	// that the card does not offer what the level needs.
	ErrProtocol = errors.New("scp03: the card does not speak SCP03 as needed")

	// ErrResponseMAC says that an answer does not come from the card, or not to the command
	// it was held to answer. The session has ended.
	ErrResponseMAC = errors.New("scp03: an answer does not carry the card's MAC")

	// ErrNoSession says that no session is open: it was never opened, or it has ended.
	ErrNoSession = errors.New("scp03: no open session")

	// ErrTooLong says that a command has more data than fits under the session's level.
	ErrTooLong = errors.New("scp03: command data does not fit")
)

// Instructions of the protocol, with their GlobalPlatform classes.
const (
	InsInitializeUpdate     byte = 0x50
	InsExternalAuthenticate byte = 0x82

	claPlain   byte = 0x80
	claSecured byte = 0x84
)

// Most plain data of a command, in bytes.
const (
	MaxData         = apdu.MaxData - macSize // under C-MAC
	MaxDataEncipher = 239                    // under C-MAC and C-DECRYPTION: pads to 240
)

// Host is the platform's end of one session. Several commands may be wrapped ahead of
// their answers; answers are unwrapped in the order of the commands. It is not safe for
// concurrent use.
type Host struct {
	// AID is the security domain's. If set, [Host.Authenticate] also checks that a
	// pseudo-random card challenge belongs to the card's sequence counter.
	AID []byte

	keys      Keys
	version   byte
	challenge [challengeSize]byte

	answered        bool
	diversification [10]byte
	counter         uint32
	session         *session
	pending         []exchange
}

// NewHost prepares a session with the key set of the given version; version 00 takes
// whichever the card names first. challenge must be fresh random bytes.
func NewHost(keys Keys, version byte, challenge [8]byte) (*Host, error) {
	if err := keys.Check(); err != nil {
		return nil, err
	}
	return &Host{keys: keys, version: version, challenge: challenge}, nil
}

// InitializeUpdate is the command that begins the session.
func (h *Host) InitializeUpdate() apdu.Command {
	return apdu.Command{
		CLA: claPlain, INS: InsInitializeUpdate, P1: h.version,
		Data: h.challenge[:], Le: apdu.MaxLe,
	}
}

// Authenticate checks the data of the answer to INITIALIZE UPDATE and returns the command
// that opens the session at the given level. The answer to that command is bare: the
// session is open on the card if it is 9000. The error is or wraps [ErrCardCryptogram],
// [ErrKeyVersion] or [ErrProtocol] if the card is at fault.
func (h *Host) Authenticate(answer []byte, level Level) (apdu.Command, error) {
	if err := level.Check(); err != nil {
		return apdu.Command{}, err
	}
	if h.answered {
		return apdu.Command{}, fmt.Errorf("scp03: the session was begun before: use a new Host")
	}
	a, err := parseInitializeAnswer(answer)
	if err != nil {
		return apdu.Command{}, err
	}
	if err := a.supports(level); err != nil {
		return apdu.Command{}, err
	}
	if h.version != 0 && a.version != h.version {
		return apdu.Command{}, fmt.Errorf("%w: want %02X, got %02X", ErrKeyVersion, h.version, a.version)
	}
	s := newSession(h.keys, h.challenge, a.challenge)
	if subtle.ConstantTimeCompare(s.cryptogram(cardCryptogram), a.cryptogram[:]) != 1 {
		return apdu.Command{}, ErrCardCryptogram
	}
	if h.AID != nil && a.pseudoRandom() {
		if want := cardChallenge(h.keys.ENC, a.counter, h.AID); want != a.challenge {
			return apdu.Command{}, fmt.Errorf("%w: its challenge does not follow from its sequence counter", ErrProtocol)
		}
	}
	h.answered, h.diversification, h.counter = true, a.diversification, a.counter
	h.session = s
	command := s.sign(apdu.Command{
		CLA: claSecured, INS: InsExternalAuthenticate, P1: byte(level),
		Data: s.cryptogram(hostCryptogram),
	})
	s.level = level
	return command, nil
}

// Diversification is the key diversification data that the card sent, valid after
// [Host.Authenticate].
func (h *Host) Diversification() []byte { return bytes.Clone(h.diversification[:]) }

// SequenceCounter is the card's counter of sessions, valid after [Host.Authenticate]; 0 if
// the card has none.
func (h *Host) SequenceCounter() uint32 { return h.counter }

// Wrap protects a command for the card. An Le is asked in full, since the answer grows; a command
// without Le keeps none. Without an error the command must be sent: the card expects it next.
func (h *Host) Wrap(c apdu.Command) (apdu.Command, error) {
	if h.session == nil {
		return apdu.Command{}, ErrNoSession
	}
	limit := MaxData
	if h.session.level.Has(CDEC) {
		limit = MaxDataEncipher
	}
	if len(c.Data) > limit {
		return apdu.Command{}, fmt.Errorf("%w: %d bytes in command %02X, room for %d", ErrTooLong, len(c.Data), c.INS, limit)
	}
	wrapped, e := h.session.wrapCommand(c)
	h.pending = append(h.pending, e)
	return wrapped, nil
}

// Unwrap checks the answer to the oldest wrapped command that has none yet, and removes
// its protection. An error status word comes back bare, as the protocol has it: nothing
// tells whether the card or somebody between said it, so it proves nothing. Any status
// word that means success must carry a MAC if the level has R-MAC, else the error is
// [ErrResponseMAC] and the session has ended.
func (h *Host) Unwrap(r apdu.Response) (apdu.Response, error) {
	if h.session == nil {
		return apdu.Response{}, ErrNoSession
	}
	if len(h.pending) == 0 {
		return apdu.Response{}, fmt.Errorf("scp03: an answer to no command")
	}
	e := h.pending[0]
	h.pending = h.pending[1:]
	plain, ok := h.session.unwrapResponse(e, r)
	if !ok {
		h.session, h.pending = nil, nil
		return apdu.Response{}, ErrResponseMAC
	}
	return plain, nil
}

// EncryptSensitive enciphers a secret under the key-encryption key, to travel inside a
// command (AES-CBC, zero IV, ISO/IEC 7816-4 padding). The static key is used: SCP03
// derives none for this.
func (h *Host) EncryptSensitive(plain []byte) ([]byte, error) {
	return encryptSensitive(h.keys.DEK, plain), nil
}
