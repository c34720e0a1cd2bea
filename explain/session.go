package explain

import (
	"fmt"

	"github.com/simroot/simroot/apdu"
)

// Options say how to explain.
type Options struct {
	// ShowSecrets shows the value of what may be secret.
	ShowSecrets bool
}

// Session is one conversation with a card. It is not safe for concurrent use.
type Session struct {
	options  Options
	channels [apdu.MaxChannel + 1]channel
	last     *exchange // the command that the next answer belongs to
	withheld int       // bytes of what is being explained that are not told
}

// New starts a conversation.
func New(o Options) *Session { return &Session{options: o} }

// channel is what has been said on one logical channel.
type channel struct {
	asked     *exchange // the last command but GET RESPONSE
	collected []byte    // of its answer, so far
	withheld  bool      // not all of that is told
	app       application
	file      int    // identifier of the current elementary file
	list      []byte // begin of an object that the next part of a list completes
	contents  contents
	stream    stream
	secure    secureChannel
}

// maxCollected bounds what is kept of one answer, in bytes.
const maxCollected = 1 << 16

// exchange is one command, and what is known when it or its answer is explained.
type exchange struct {
	session *Session
	ch      *channel
	command apdu.Command // without its protection
	row     *instruction // nil: unknown
	secured bool
	sw      apdu.SW // of the answer
}

// Command explains a command.
func (s *Session) Command(b []byte) Explanation {
	c, err := apdu.Parse(b)
	if err != nil {
		s.last = nil
		if len(b) > 0 {
			s.channels[apdu.ChannelOf(b[0])].asked = nil
		}
		return Explanation{Hex: header(b), Name: "no command", Parts: []Part{{Name: "fault", Text: err.Error(), Unknown: true}}}
	}
	ch := &s.channels[apdu.ChannelOf(c.CLA)]
	x := &exchange{session: s, ch: ch, command: c, secured: apdu.Secured(c.CLA)}
	e := Explanation{Hex: fmt.Sprintf("%02X %02X %02X %02X", c.CLA, c.INS, c.P1, c.P2)}
	e.Parts = append(e.Parts, x.class())

	var protection []Part
	switch {
	case s.withheld > 0 && s.withheld >= len(c.Data):
		protection = []Part{notTold(c.Data)}
	case x.secured:
		protection = x.unprotect()
	}
	x.row = x.find()
	if c.INS == insGetResponse && ch.asked != nil {
		s.last = ch.asked
	} else {
		s.last, ch.asked, ch.collected, ch.withheld = x, x, nil, false
	}
	if x.row == nil {
		e.Parts = append(e.Parts, x.lengths()...)
		if protection != nil {
			e.Parts = append(e.Parts, protection...)
		} else if len(c.Data) > 0 {
			e.Parts = append(e.Parts, x.hidden("data", c.Data, "of an instruction that is not known", true))
		}
		return e
	}
	e.Name, e.Clause = x.row.name, x.row.clause
	e.Parts = append(e.Parts, x.row.p1.part("P1", c.P1, c), x.row.p2.part("P2", c.P2, c))
	e.Parts = append(e.Parts, x.lengths()...)
	switch {
	case protection != nil:
		e.Parts = append(e.Parts, protection...)
	case len(c.Data) > 0:
		e.Parts = append(e.Parts, x.commandData(c.Data)...)
	}
	return e
}

// notTold is data that whoever wrote the conversation down has left out.
func notTold(b []byte) Part {
	return Part{Name: "data", Text: count(len(b)) + ", left out when it was recorded"}
}

// commandData explains the data of a command in clear.
func (x *exchange) commandData(data []byte) []Part {
	if x.row.data == nil {
		return []Part{x.hidden("data", data, "which this command does not carry", true)}
	}
	return x.row.data(x, data)
}

// Answer explains an answer to the last command.
func (s *Session) Answer(b []byte) Explanation {
	r, err := apdu.ParseResponse(b)
	if err != nil {
		return Explanation{Answer: true, Hex: fmt.Sprintf("%X", b), Name: "no answer", Parts: []Part{{Name: "fault", Text: err.Error(), Unknown: true}}}
	}
	x := s.last
	if x == nil {
		x = &exchange{session: s, ch: new(channel)}
	}
	x.sw = r.SW
	e := Explanation{Answer: true, Hex: fmt.Sprintf("%04X", uint16(r.SW))}
	e.Name, e.Next = x.status()
	if x.row != nil {
		e.To = x.row.name
	}
	e.Parts = x.answerData(r.Data)
	if x.row != nil && x.row.after != nil && x.succeeded() {
		x.row.after(x, r.Data)
	}
	return e
}

// answerData explains the data of an answer. What waits for GET RESPONSE is put together
// before it is explained.
func (x *exchange) answerData(data []byte) []Part {
	x.ch.withheld = x.ch.withheld || x.session.withheld > 0
	if high := x.sw >> 8; high == 0x61 || high == 0x9F {
		if len(x.ch.collected)+len(data) <= maxCollected {
			x.ch.collected = append(x.ch.collected, data...)
		}
		if len(data) == 0 {
			return nil
		}
		return []Part{{Name: "data", Text: fmt.Sprintf("%s, the begin of the answer", count(len(data)))}}
	}
	if len(x.ch.collected) > 0 {
		data = append(x.ch.collected, data...)
		x.ch.collected = nil
	}
	switch {
	case len(data) == 0:
		return nil
	case x.ch.withheld:
		return []Part{notTold(data)}
	case x.secured:
		return x.unprotectAnswer(data)
	}
	return x.clearAnswer(data)
}

func (x *exchange) clearAnswer(data []byte) []Part {
	switch {
	case x.row == nil && x.command.INS == 0:
		return x.orphan(data)
	case x.row == nil:
		return []Part{x.hidden("data", data, "of an instruction that is not known", true)}
	case x.row.answer == nil:
		return []Part{x.hidden("data", data, "which this command is not answered with", true)}
	}
	return x.row.answer(x, data)
}

// orphan explains data whose command is not known, if it explains itself.
func (x *exchange) orphan(data []byte) []Part {
	for _, d := range []dictionary{answerFields, applicationFields} {
		if _, fits := fit(data, d); fits {
			return x.simple(data, d)
		}
	}
	return []Part{x.hidden("data", data, "whose command is not known; name it with --answer-to", true)}
}

// Either explains bytes that may be a command or an answer: a command if they have the
// form of one that is known.
func (s *Session) Either(b []byte) Explanation {
	if looksLikeAnswer(b) {
		return s.Answer(b)
	}
	return s.Command(b)
}

func looksLikeAnswer(b []byte) bool {
	if len(b) < 4 {
		return true
	}
	if c, err := apdu.Parse(b); err == nil {
		x := &exchange{session: new(Session), ch: new(channel), command: c, secured: apdu.Secured(c.CLA)}
		if x.find() != nil {
			return false
		}
	}
	class := b[len(b)-2] >> 4
	return class == 0x6 || class == 0x9 // of the status words that there are
}

// class explains the class byte.
func (x *exchange) class() Part {
	cla := x.command.CLA
	text := "interindustry"
	if cla&0x80 != 0 {
		text = "proprietary"
	}
	text += fmt.Sprintf(", channel %d", apdu.ChannelOf(cla))
	if x.secured {
		text += ", secure messaging"
	} else {
		text += ", no secure messaging"
	}
	if cla&0x10 != 0 {
		text += ", more of a chain follows"
	}
	if cla == 0xA0 {
		text = "SIM before the UICC"
	}
	return Part{Name: "class", Hex: fmt.Sprintf("%02X", cla), Text: text}
}

// lengths explains Lc and Le.
func (x *exchange) lengths() []Part {
	var parts []Part
	c := x.command
	if n := len(c.Data); n > 0 {
		parts = append(parts, Part{Name: "Lc", Hex: fmt.Sprintf("%02X", n), Text: count(n) + " of data"})
	}
	switch {
	case c.Le == apdu.MaxLe:
		parts = append(parts, Part{Name: "Le", Hex: "00", Text: "all there is, up to 256 bytes"})
	case c.Le > 0:
		parts = append(parts, Part{Name: "Le", Hex: fmt.Sprintf("%02X", c.Le), Text: count(c.Le) + " wanted"})
	}
	return parts
}

// hidden is bytes that may be secret.
func (x *exchange) hidden(name string, b []byte, text string, unknown bool) Part {
	p := Part{Name: name, Text: count(len(b)), Unknown: unknown}
	if text != "" {
		p.Text += " " + text
	}
	if x.session.options.ShowSecrets && x.session.withheld == 0 {
		p.Hex = fmt.Sprintf("%X", b)
	}
	return p
}

// count is a number of bytes in words.
func count(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// header is the first bytes of something that should be a command.
func header(b []byte) string { return fmt.Sprintf("% X", b[:min(4, len(b))]) }
