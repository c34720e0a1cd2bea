package modem

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

const iccid card.ICCID = "89882119900000000017"

var applet = unhex("A0000005590010")

// sim is a small UICC with an IoT SAFE applet that knows GET RANDOM (84) and an echo of
// its data (EC), and a USIM with an IMSI. Like a card it keeps an answer without Le for
// GET RESPONSE.
type sim struct {
	seen     []string // commands, in hexadecimal
	resets   int
	channels map[int]*simChannel
	noUSIM   bool
	fail     error
}

type simChannel struct {
	aid, pending []byte
	file         uint16
}

func newSIM() *sim {
	s := &sim{}
	s.Reset()
	s.resets = 0
	return s
}

func (s *sim) Reset() {
	s.resets++
	s.channels = map[int]*simChannel{0: {}}
}

func (s *sim) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if err := errors.Join(s.fail, ctx.Err()); err != nil {
		return nil, err
	}
	s.seen = append(s.seen, fmt.Sprintf("%X", command))
	c, err := apdu.Parse(command)
	if err != nil {
		return apdu.Response{SW: apdu.WrongLength}.Bytes(), nil
	}
	n := apdu.ChannelOf(c.CLA)
	if s.channels[n] == nil && c.INS == 0xA4 && c.P1 == 4 && n <= 3 { // SELECT opens it
		s.channels[n] = &simChannel{}
	}
	ch := s.channels[n]
	if ch == nil {
		return apdu.Response{SW: apdu.ChannelNotSupported}.Bytes(), nil
	}
	if c.INS != 0xC0 {
		r := s.answer(ch, c)
		if len(r.Data) == 0 {
			return r.Bytes(), nil
		}
		if ch.pending = r.Data; c.Le > 0 {
			ch.pending = r.Data[:min(c.Le, len(r.Data))]
		}
	}
	given := min(c.Le, len(ch.pending))
	r := apdu.Response{Data: ch.pending[:given], SW: apdu.OK}
	if ch.pending = ch.pending[given:]; len(ch.pending) > 0 {
		r.SW = 0x6100 | apdu.SW(byte(len(ch.pending)))
	}
	return r.Bytes(), nil
}

func (s *sim) answer(ch *simChannel, c apdu.Command) apdu.Response {
	refuse := func(sw apdu.SW) apdu.Response { return apdu.Response{SW: sw} }
	switch {
	case c.INS == 0x70 && c.P1 == 0:
		for n := 1; n <= 3; n++ {
			if s.channels[n] == nil {
				s.channels[n] = &simChannel{}
				return apdu.Response{Data: []byte{byte(n)}, SW: apdu.OK}
			}
		}
		return refuse(apdu.FunctionNotSupported)
	case c.INS == 0x70:
		if s.channels[int(c.P2)] == nil || c.P2 == 0 {
			return refuse(apdu.ChannelNotSupported)
		}
		delete(s.channels, int(c.P2))
		return refuse(apdu.OK)
	case c.INS == 0xA4 && c.P1 == 4:
		aid := fmt.Sprintf("%X", c.Data)
		if aid != fmt.Sprintf("%X", applet) && (aid != "A0000000871002" || s.noUSIM) {
			return refuse(apdu.NotFound)
		}
		ch.aid = c.Data
		return refuse(apdu.OK)
	case c.INS == 0xA4:
		return s.selectFile(ch, c)
	case c.INS == 0xB0:
		content := map[uint16]string{0x2FE2: "98881291090000000071", 0x6F07: "089910100000000010"}[ch.file]
		if content == "" {
			return refuse(0x6986)
		}
		return apdu.Response{Data: unhex(content)[min(int(c.P2), len(content)/2):], SW: apdu.OK}
	case c.INS == 0xD6:
		return refuse(apdu.SecurityNotSatisfied)
	case c.INS == 0xF2 && c.CLA&0x80 != 0:
		return apdu.Response{Data: unhex("6200"), SW: apdu.OK}
	case ch.aid == nil:
		return refuse(apdu.InstructionNot)
	case c.INS == 0x84:
		n := c.Le
		if n == 0 {
			n = apdu.MaxLe
		}
		return apdu.Response{Data: bytes.Repeat([]byte{4}, n), SW: apdu.OK} // chosen by fair dice roll
	case c.INS == 0xEC:
		return apdu.Response{Data: c.Data, SW: apdu.OK}
	case c.INS == 0x2A:
		return refuse(apdu.OK)
	}
	return refuse(apdu.InstructionNot)
}

func (s *sim) selectFile(ch *simChannel, c apdu.Command) apdu.Response {
	id := uint16(0x3F00)
	if n := len(c.Data); n >= 2 {
		id = uint16(c.Data[n-2])<<8 | uint16(c.Data[n-1])
	}
	_, known := map[uint16]bool{0x3F00: true, 0x2FE2: true, 0x6F07: true}[id]
	if !known || id == 0x6F07 && ch.aid == nil {
		return apdu.Response{SW: apdu.NotFound}
	}
	ch.file = id
	if c.P2 == 0x0C {
		return apdu.Response{SW: apdu.OK}
	}
	return apdu.Response{Data: []byte{0x62, 0x04, 0x83, 0x02, byte(id >> 8), byte(id)}, SW: apdu.OK}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// with is a modem of the named personality with a card in it.
func with(t testing.TB, personality string) (*Modem, *sim) {
	t.Helper()
	p, err := Lookup(personality)
	if err != nil {
		t.Fatal(err)
	}
	s := newSIM()
	return New(s, p), s
}

// talk sends command lines and checks the answers: "line > answer", where | stands for
// CR LF in the answer and a CR is added to the line.
func talk(t *testing.T, m *Modem, lines ...string) {
	t.Helper()
	for _, line := range lines {
		command, want, found := strings.Cut(line, " > ")
		if !found {
			t.Fatalf("%q has no answer", line)
		}
		if got := say(t, m, command+"\r"); got != want {
			t.Errorf("%s\n  was answered %s\n  want         %s", command, got, want)
		}
	}
}

func say(t *testing.T, m *Modem, text string) string {
	t.Helper()
	out, err := m.Input(t.Context(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(out), "\r\n", "|")
}

// wantSeen checks which commands have reached the card since the last check.
func (s *sim) wantSeen(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.Join(s.seen, " "); got != strings.Join(want, " ") {
		t.Errorf("the card saw %s\n  want         %s", got, strings.Join(want, " "))
	}
	s.seen = nil
}
