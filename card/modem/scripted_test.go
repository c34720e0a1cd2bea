package modem

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// scripted is a modem at the far end of a pipe. It carries out one command after the other:
// those of its script, and those of the opening as a usual modem does.
type scripted struct {
	// script gives the answers to a command, one after the other; the last one stays. What is
	// answered is written as it is; an empty answer is silence.
	script map[string][]string

	echo   bool
	silent bool                               // answers nothing any more
	delay  func(command string) time.Duration // how long a command takes; nil: no time
	drops  bool                               // what comes meanwhile is lost

	far    io.ReadWriter
	queue  chan string
	gone   chan struct{}
	mu     sync.Mutex
	seen   []string // commands, since the opening
	atWork bool
}

const ok = "\r\nOK\r\n"

// says is a complete answer with these lines.
func says(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("\r\n" + l + "\r\n")
	}
	return b.String() + ok
}

// usual is what a modem with AT+CSIM alone answers.
var usual = map[string]string{
	"AT": ok, "ATE0": ok, "AT+CMEE=1": ok,
	"AT+CMEE?": says("+CMEE: 1"), "AT+CFUN?": says("+CFUN: 1"), "AT+CPIN?": says("+CPIN: READY"),
	"AT+CGMI": says("Scripted"), "AT+CGMM": says("S1"), "AT+CGMR": says("1.0"),
	"AT+CSIM=?": ok,
}

// sessions is what a modem with AT+CCHO alone answers in addition.
func sessions(script map[string][]string) map[string][]string {
	for _, test := range []string{"AT+CCHO=?", "AT+CGLA=?"} {
		script[test] = []string{ok}
	}
	script["AT+CSIM=?"] = []string{"\r\nERROR\r\n"}
	return script
}

func (m *scripted) say(text string) { _, _ = m.far.Write([]byte(text)) }

// listen takes in commands.
func (m *scripted) listen() {
	defer close(m.gone)
	r := bufio.NewReader(m.far)
	for {
		command, err := r.ReadString('\r')
		if err != nil {
			return
		}
		if m.echo {
			m.say(command)
		}
		command = strings.TrimSuffix(command, "\r")
		m.mu.Lock()
		m.seen = append(m.seen, command)
		lost := m.silent || m.drops && m.atWork
		m.mu.Unlock()
		if !lost {
			m.queue <- command
		}
	}
}

// work carries them out.
func (m *scripted) work() {
	for {
		select {
		case command := <-m.queue:
			m.working(true)
			if m.delay != nil {
				select {
				case <-time.After(m.delay(command)):
				case <-m.gone:
					return
				}
			}
			m.working(false)
			m.say(m.answer(command))
		case <-m.gone:
			return
		}
	}
}

func (m *scripted) working(yes bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.atWork = yes
}

func (m *scripted) answer(command string) string {
	if answers, found := m.script[command]; found {
		if len(answers) > 1 {
			m.script[command] = answers[1:]
		}
		return answers[0]
	}
	if answer, found := usual[command]; found {
		return answer
	}
	return "\r\nERROR\r\n"
}

// commands are what the modem was told since the opening or the last call.
func (m *scripted) commands() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := m.seen
	m.seen = nil
	return seen
}

// begin makes the modem speak on a line.
func (m *scripted) begin(far io.ReadWriter) {
	m.far, m.queue, m.gone = far, make(chan string, 100), make(chan struct{})
	go m.listen()
	go m.work()
}

// tryOpen connects a Card to the modem.
func (m *scripted) tryOpen(ctx context.Context, o Options) (*Card, error) {
	near, far := net.Pipe()
	m.begin(far)
	return New(ctx, near, o)
}

func (m *scripted) open(t *testing.T, o Options) *Card {
	t.Helper()
	c, err := m.tryOpen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	m.commands()
	return c
}

// transmit sends a command written in hexadecimal and returns the answer so.
func transmit(ctx context.Context, c *Card, command string) (string, error) {
	b, err := hex.DecodeString(command)
	if err != nil {
		panic(err)
	}
	answer, err := c.Transmit(ctx, b)
	return strings.ToUpper(hex.EncodeToString(answer)), err
}

// gets checks the answer to a command.
func gets(t *testing.T, c *Card, command, want string) {
	t.Helper()
	if answer, err := transmit(t.Context(), c, command); err != nil || answer != want {
		t.Errorf("%s was answered %s, %v: want %s", command, answer, err, want)
	}
}

// fails checks that a command fails in the wanted way.
func fails(t *testing.T, c *Card, command string, want error) {
	t.Helper()
	if answer, err := transmit(t.Context(), c, command); !errors.Is(err, want) {
		t.Errorf("%s was answered %s, %v: want the error %v", command, answer, err, want)
	}
}
