package modem

import (
	"bytes"
	"context"
	"errors"

	"github.com/simroot/simroot/card"
)

// Powered is a card whose power the modem switches.
type Powered interface {
	card.Card

	// Reset takes the power away and gives it back.
	Reset()
}

// maxLine is the longest command line taken, in characters without the CR. The longest
// APDU makes one of 541; the rest is for several commands in one line.
const maxLine = 2048

// Characters of a command line (ITU-T V.250, 5.2.1 and 6.2).
const (
	cr        byte = 0x0D // S3: ends a command line
	lf        byte = 0x0A // S4: ignored on input
	backspace byte = 0x08 // S5: takes the last character back
)

// Modem is one modem with a card in it. It is a state machine without a clock; one call
// at a time.
type Modem struct {
	card        Powered
	personality Personality
	settings    settings
	function    int // +CFUN

	line    []byte // what has come of the next command line
	tooLong bool   // it is longer than maxLine
	last    []byte // the line that A/ repeats

	sessions    []session
	busy        int // SIM commands still to be refused as busy
	selects     int // applications selected so far
	unsolicited int // unsolicited lines sent so far
}

// New puts a card into a modem and switches both on.
func New(c Powered, p Personality) *Modem {
	m := &Modem{card: c, personality: p}
	m.restart()
	return m
}

// restart is power-up, of the modem and of its card.
func (m *Modem) restart() {
	m.settings = m.personality.settings()
	m.function = fullFunction
	m.startSIM()
}

// startSIM resets the card: channels, and the sessions on them, are gone.
func (m *Modem) startSIM() {
	m.card.Reset()
	m.sessions = nil
	m.busy = m.personality.BusyCommands
}

// HangUp tells the modem that its terminal has gone: half a command line is forgotten.
// Settings and sessions stay, as in a modem whose USB port is closed.
func (m *Modem) HangUp() { m.line, m.tooLong = nil, false }

// Input takes what the terminal sends, in pieces of any size, and returns what the modem
// sends back. An error means that the card itself failed or ctx ended, never that the
// terminal sent nonsense: that is answered.
func (m *Modem) Input(ctx context.Context, in []byte) ([]byte, error) {
	var out []byte
	for _, b := range in {
		if m.settings.echo && b != lf {
			out = append(out, b)
		}
		var err error
		if out, err = m.character(ctx, out, b); err != nil {
			return out, err
		}
	}
	return out, nil
}

// character takes one character of a command line and appends to out what it brings about.
func (m *Modem) character(ctx context.Context, out []byte, b byte) ([]byte, error) {
	switch b {
	case lf:
		return out, nil
	case backspace:
		if len(m.line) > 0 {
			m.line = m.line[:len(m.line)-1]
		}
		return out, nil
	case cr:
		line, tooLong := bytes.Clone(m.line), m.tooLong
		m.line, m.tooLong = m.line[:0], false
		if tooLong {
			return m.result(out, plainError), nil
		}
		return m.command(ctx, out, line)
	}
	if len(m.line) == maxLine {
		m.tooLong = true
		return out, nil
	}
	m.line = append(m.line, b)
	if string(m.line) == "A/" || string(m.line) == "a/" { // needs no CR (V.250, 5.2.4)
		m.line = m.line[:0]
		return m.command(ctx, out, m.last)
	}
	return out, nil
}

// command carries out one command line. A line that does not begin with AT has no answer
// (V.250, 5.2.1).
func (m *Modem) command(ctx context.Context, out, line []byte) ([]byte, error) {
	line = bytes.TrimSpace(line)
	if len(line) < 2 || !bytes.EqualFold(line[:2], []byte("AT")) {
		return out, nil
	}
	m.last = line
	rest := string(line[2:])
	for {
		var (
			c   call
			err error
		)
		if c, rest, err = nextCall(rest); err == nil {
			if c.name == "" {
				return m.result(out, done), nil
			}
			var text string
			text, err = m.carryOut(ctx, c)
			out = m.information(out, text)
		}
		if err != nil { // what follows in the line is not carried out
			if refused, ok := errors.AsType[refusal](err); ok {
				return m.result(out, refused), nil
			}
			return out, err
		}
	}
}

// carryOut carries out one command of a line and returns its information text, "" for
// none.
func (m *Modem) carryOut(ctx context.Context, c call) (string, error) {
	known, found := commands[c.name]
	if !found || m.personality.lacks(c.name) {
		return "", plainError
	}
	if c.form == test {
		if m.personality.lacksTest(c.name) || known.noTest {
			return "", plainError
		}
		return known.values, nil
	}
	return known.run(m, ctx, c)
}

// command is an entry of the table of what the modem understands.
type command struct {
	run func(*Modem, context.Context, call) (string, error) // every form but the test form

	values string // information text of the test form, "" for OK alone
	noTest bool   // there is no test form
}

// commands is filled by init functions beside the commands, because some refer to it.
var commands = map[string]command{}

func register(table map[string]command) {
	for name, c := range table {
		commands[name] = c
	}
}
