package scp03

import "fmt"

// Sizes of S8 mode, in bytes.
const (
	challengeSize   = 8
	cryptogramSize  = 8
	macSize         = 8
	counterSize     = 3
	fixedAnswerSize = 10 + 3 + challengeSize + cryptogramSize
)

// Bits of i, the protocol's parameter.
const (
	iS16          byte = 0x01
	iPseudoRandom byte = 0x10
	iRMAC         byte = 0x20
	iRENC         byte = 0x40

	protocolID byte = 0x03
)

// initializeAnswer is the data that answers INITIALIZE UPDATE (Amendment D, 7.1.1.6).
type initializeAnswer struct {
	diversification [10]byte
	version, i      byte
	challenge       [challengeSize]byte
	cryptogram      [cryptogramSize]byte
	counter         uint32 // only with a pseudo-random challenge
}

func (a initializeAnswer) pseudoRandom() bool { return a.i&iPseudoRandom != 0 }

func (a initializeAnswer) bytes() []byte {
	b := make([]byte, 0, fixedAnswerSize+counterSize)
	b = append(b, a.diversification[:]...)
	b = append(b, a.version, protocolID, a.i)
	b = append(b, a.challenge[:]...)
	b = append(b, a.cryptogram[:]...)
	if a.pseudoRandom() {
		b = append(b, byte(a.counter>>16), byte(a.counter>>8), byte(a.counter))
	}
	return b
}

func parseInitializeAnswer(b []byte) (initializeAnswer, error) {
	var a initializeAnswer
	if len(b) < fixedAnswerSize {
		return a, fmt.Errorf("%w: INITIALIZE UPDATE was answered with %d bytes, want %d or %d",
			ErrProtocol, len(b), fixedAnswerSize, fixedAnswerSize+counterSize)
	}
	a.diversification = [10]byte(b)
	a.version, a.i = b[10], b[12]
	if b[11] != protocolID {
		return a, fmt.Errorf("%w: it speaks SCP%02X", ErrProtocol, b[11])
	}
	if a.i&iS16 != 0 {
		return a, fmt.Errorf("%w: it wants S16 mode (i=%02X)", ErrProtocol, a.i)
	}
	a.challenge = [challengeSize]byte(b[13:])
	a.cryptogram = [cryptogramSize]byte(b[21:])
	rest := b[fixedAnswerSize:]
	if a.pseudoRandom() && len(rest) == counterSize {
		a.counter = uint32(rest[0])<<16 | uint32(rest[1])<<8 | uint32(rest[2])
		rest = nil
	} else if a.pseudoRandom() {
		return a, fmt.Errorf("%w: %d bytes of sequence counter (i=%02X), want %d", ErrProtocol, len(rest), a.i, counterSize)
	}
	if len(rest) > 0 {
		return a, fmt.Errorf("%w: %d bytes too many in the answer to INITIALIZE UPDATE (i=%02X)", ErrProtocol, len(rest), a.i)
	}
	return a, nil
}

// supports tells whether the card offers what a level needs.
func (a initializeAnswer) supports(level Level) error {
	if level.Has(RMAC) && a.i&iRMAC == 0 || level.Has(RENC) && a.i&iRENC == 0 {
		return fmt.Errorf("%w: %s needs more than the card offers (i=%02X)", ErrProtocol, level, a.i)
	}
	return nil
}
