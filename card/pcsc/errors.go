package pcsc

import (
	"errors"
	"fmt"
)

// What callers may have to tell apart.
var (
	// ErrUnsupported: this build has no way to PC/SC.
	ErrUnsupported = errors.New("PC/SC readers are supported on Linux only, on its usual processors: use simroot there, or reach the card as modem:… or tcp:…")

	// ErrNoService: the PC/SC daemon or its library is missing, or does not run.
	ErrNoService = errors.New("the PC/SC service does not answer: install pcscd (on Debian: apt-get install pcscd) and start it (systemctl start pcscd.socket, or pcscd -f)")

	// ErrNoReader: no reader is connected, or none has the wanted name.
	ErrNoReader = errors.New("no card reader")

	// ErrNoCard: the reader is empty.
	ErrNoCard = errors.New("no card in the reader")

	// ErrCardRemoved: the card was taken out or the reader unplugged. The [Card] is of no
	// further use: close it, and open one again.
	ErrCardRemoved = errors.New("the card was removed: insert it and open it again")

	// ErrReset: another program reset the card. The command was not carried out. The
	// [Card] works again, but selected applications, logical channels and sessions are
	// gone: begin anew.
	ErrReset = errors.New("another program reset the card: its channels and sessions are gone")

	// ErrClosed: the [Card] was closed.
	ErrClosed = errors.New("the card connection is closed")
)

// Code is a PC/SC error code that has no sentinel of its own (pcsclite.h, SCARD_E_…).
type Code uint32

// Codes that decide something here.
const (
	success         Code = 0
	noSmartcard     Code = 0x8010000C
	notTransacted   Code = 0x80100016
	unknownReader   Code = 0x80100009
	readerGone      Code = 0x80100017
	noService       Code = 0x8010001D
	serviceStopped  Code = 0x8010001E
	noReaders       Code = 0x8010002E
	unpoweredCard   Code = 0x80100067
	resetCard       Code = 0x80100068
	removedCard     Code = 0x80100069
	invalidHandle   Code = 0x80100003
	sharing         Code = 0x8010000B
	protoMismatch   Code = 0x8010000F
	commError       Code = 0x80100013
	unresponsive    Code = 0x80100066
	securityRefused Code = 0x8010006A
)

var texts = map[Code]string{
	notTransacted:   "the card did not answer; take it out and insert it again",
	invalidHandle:   "the connection to the service was lost; open the card again",
	sharing:         "another program holds the card for itself; close that program",
	protoMismatch:   "the card speaks neither T=0 nor T=1",
	commError:       "the connection to the service broke off; see whether pcscd still runs",
	unresponsive:    "the card does not answer its reset; check that it is the right way round",
	securityRefused: "the service refuses this user; run as root, or allow org.debian.pcsc-lite.access_pcsc in polkit",
}

// Error gives the code and its meaning.
func (c Code) Error() string {
	if text, ok := texts[c]; ok {
		return fmt.Sprintf("PC/SC error %08X: %s", uint32(c), text)
	}
	return fmt.Sprintf("PC/SC error %08X", uint32(c))
}

// failure is what a PC/SC function's return value means; nil for success.
func failure(result long) error {
	switch code := Code(result); code {
	case success:
		return nil
	case noService, serviceStopped:
		return ErrNoService
	case noReaders, unknownReader:
		return ErrNoReader
	case noSmartcard:
		return ErrNoCard
	case removedCard, readerGone, unpoweredCard:
		return ErrCardRemoved
	case resetCard:
		return ErrReset
	default:
		return code
	}
}
