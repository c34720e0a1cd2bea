package modem

import (
	"strings"
	"time"

	"github.com/simroot/simroot/apdu"
)

// Quirk is what is different about a family of modems: one row of [Quirks].
type Quirk struct {
	// The modems that the row is about: what their answers to AT+CGMI, AT+CGMM and
	// AT+CGMR begin with, in any case of letters. What is empty fits every modem.
	Maker, Model, Firmware string

	// Source says where the knowledge is from.
	Source string

	// MinFirmware is the first version of the model's firmware that has a way to the SIM.
	// It is looked at where a modem has none (see [FirmwareError]).
	MinFirmware string

	// Prefer is the way to the SIM to take where both are offered, and Only the way to
	// take without asking.
	Prefer, Only Mode

	// Deadline and SlowDeadline bound an ordinary exchange and one that makes the SIM
	// compute (see slow).
	Deadline, SlowDeadline time.Duration

	// SelectRetries is how often a SELECT that was answered +CME ERROR: 0 is repeated,
	// and BusyRetries how often any command that was answered +CME ERROR: 14 is.
	SelectRetries, BusyRetries int

	// MaxAnswer is the most data that an answer may carry, in bytes, without the status
	// word; 0 is no limit.
	MaxAnswer int

	// NoLe: commands with data must not carry Le.
	NoLe bool

	// NoChannels: MANAGE CHANNEL is unknown, and is answered 6D00 without asking.
	NoChannels bool

	// BareOK are the instructions to which OK alone stands for 9000.
	BareOK []byte

	// ErrorSW is the status word that the answer ERROR stands for; 0: it is the modem's
	// own.
	ErrorSW apdu.SW

	// NotFound are the errors of AT+CCHO that say that there is no such application. -1 stands for
	// a plain ERROR.
	NotFound []CMEError
}

// Quirks are the known differences. Rows that fit a modem are laid over each other in
// this order: what a later row sets replaces what an earlier one set.
var Quirks = []Quirk{
	{
		Source: "3GPP TS 27.007, 8.17 and 8.45; that a SELECT is worth repeating was seen on a Quectel EG95 (at_libraries#395) and does no harm elsewhere",
		Prefer: CSIM, Deadline: 10 * time.Second, SlowDeadline: 30 * time.Second,
		SelectRetries: 3, BusyRetries: 5,
		NotFound: []CMEError{22, 100, plainError},
	},
	{
		Maker: "Quectel", Model: "EG95",
		Source:        "at_libraries#395: +CME ERROR: 0 to SELECT although the SIM has the applet",
		SelectRetries: 5,
	},
	{
		Maker: "Quectel", Model: "EG25",
		Source: "estkme-group/lpac#164: AT+CSIM opens channels, and refuses what is meant for them",
		Prefer: CGLA,
	},
	{
		Maker:     "Sequans",
		Source:    "Orange's IoT SAFE library reads files in parts of 50 bytes, because a Sequans modem cut longer answers",
		MaxAnswer: 50,
	},
	{
		Model:       "nRF9160",
		Source:      "Nordic's nRF9160 AT command reference: AT+CCHO and AT+CGLA from modem firmware 1.3.1",
		MinFirmware: "1.3.1",
	},
	{
		Model:      "m33mu",
		Source:     "m33mu's iotsafe_uart.c (emulated): OK alone to 24, 2A and 2C; ERROR for every refusal of the card; no MANAGE CHANNEL; Le refused with data",
		Only:       CSIM,
		BareOK:     []byte{0x24, 0x2A, 0x2C},
		ErrorSW:    apdu.Unknown,
		NoChannels: true,
		NoLe:       true,
	},
}

// quirkFor is the sum of the rows that fit a modem.
func quirkFor(table []Quirk, maker, model, firmware string) Quirk {
	var sum Quirk
	for _, row := range table {
		if begins(maker, row.Maker) && begins(model, row.Model) && begins(firmware, row.Firmware) {
			sum.lay(row)
		}
	}
	return sum
}

func begins(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// lay lays a row over q.
func (q *Quirk) lay(row Quirk) {
	if q.Source != "" {
		q.Source += "; "
	}
	q.Source += row.Source
	if row.MinFirmware != "" {
		q.MinFirmware = row.MinFirmware
	}
	if row.Prefer != Auto {
		q.Prefer = row.Prefer
	}
	if row.Only != Auto {
		q.Only = row.Only
	}
	if row.Deadline > 0 {
		q.Deadline = row.Deadline
	}
	if row.SlowDeadline > 0 {
		q.SlowDeadline = row.SlowDeadline
	}
	if row.SelectRetries > 0 {
		q.SelectRetries = row.SelectRetries
	}
	if row.BusyRetries > 0 {
		q.BusyRetries = row.BusyRetries
	}
	if row.MaxAnswer > 0 {
		q.MaxAnswer = row.MaxAnswer
	}
	if row.ErrorSW != 0 {
		q.ErrorSW = row.ErrorSW
	}
	if row.BareOK != nil {
		q.BareOK = row.BareOK
	}
	if row.NotFound != nil {
		q.NotFound = row.NotFound
	}
	q.NoLe = q.NoLe || row.NoLe
	q.NoChannels = q.NoChannels || row.NoChannels
}

// slow are the instructions that make a SIM compute, for seconds on some: GENERATE KEY
// PAIR, the signature commands, COMPUTE DH, PRF and HKDF, and STORE DATA, which may hold
// any of them.
var slow = []byte{0xB9, 0x2A, 0x2B, 0x2C, 0x2D, 0x46, 0x48, 0x4A, 0xE2}
