package conformance

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
)

// maxLog is how many exchanges a report keeps of one test: its last.
const maxLog = 40

// maxRounds bounds how often one answer, or the list of objects, is continued.
const maxRounds = 64

// Session is a card under test, with the applet selected on one logical channel. A test
// speaks through it. Its methods end the test when the card's answer is not the one
// wanted: they panic with a verdict, which [Run] turns into a result. Nothing else panics,
// whatever a card answers.
type Session struct {
	ctx     context.Context
	card    card.Card
	options Options

	aid     []byte
	channel int
	opened  bool // the channel was opened by us
	told    capabilities

	// Of the running test:
	log    []Exchange
	extra  []int            // further channels that it opened
	listed []iotsafe.Object // the list of objects, once asked for; nil otherwise
}

// verdict ends a test early. err says that the card is out of reach.
type verdict struct {
	outcome Outcome
	reason  string
	err     error
}

// fail ends the test: the statement does not hold.
func (s *Session) fail(format string, args ...any) {
	panic(&verdict{outcome: Failed, reason: fmt.Sprintf(format, args...)})
}

// skip ends the test: the card has nothing to try the statement on.
func (s *Session) skip(format string, args ...any) {
	panic(&verdict{outcome: Skipped, reason: fmt.Sprintf(format, args...)})
}

// must ends the test on an error of the kit's own computations.
func must[T any](v T, err error) T {
	if err != nil {
		panic(&verdict{err: err})
	}
	return v
}

// lock keeps other users of the card out until unlock.
func (s *Session) lock() (unlock func(), err error) {
	if l, ok := s.card.(card.Locker); ok {
		return l.Lock(s.ctx)
	}
	return func() {}, nil
}

// open finds the applet, on a channel of its own if the card gives one.
func (s *Session) open() error {
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	v := s.judge(func() {
		if r := s.exchange(command(insManageChannel, 0, 0).le(1)); r.SW.Succeeded() &&
			len(r.Data) == 1 && r.Data[0] >= 1 && r.Data[0] <= apdu.MaxChannel {
			s.channel, s.opened = int(r.Data[0]), true
		}
		aids := iotsafe.AIDs
		if len(s.options.AID) > 0 {
			aids = [][]byte{s.options.AID}
		}
		for _, aid := range aids {
			if s.exchange(s.selectBy(aid)).SW.Succeeded() {
				s.aid = aid
				return
			}
		}
	})
	switch {
	case v != nil:
		return fmt.Errorf("conformance: look for the applet: %w", v.err)
	case s.aid == nil:
		return fmt.Errorf("conformance: %w", iotsafe.ErrNoApplet)
	}
	if v = s.judge(s.discover); v != nil && v.err != nil {
		return fmt.Errorf("conformance: read what the applet offers: %w", v.err)
	}
	return nil
}

// close gives the channel back.
func (s *Session) close() {
	if !s.opened {
		return
	}
	if unlock, err := s.lock(); err == nil {
		s.judge(func() { s.exchange(command(insManageChannel, 0x80, byte(s.channel))) })
		unlock()
	}
}

// begin gives a test its clean start: no further channels, no sessions, an empty log.
func (s *Session) begin() {
	for _, ch := range s.extra {
		s.exchange(command(insManageChannel, 0x80, byte(ch)))
	}
	s.extra, s.listed = nil, nil
	s.exchange(s.selectBy(s.aid))
	s.log = nil
}

// raw sends bytes and returns the answer as it comes.
func (s *Session) raw(b []byte) apdu.Response {
	answer, err := s.card.Transmit(s.ctx, b)
	if err != nil {
		panic(&verdict{err: err})
	}
	return s.record(b, answer)
}

// tryRaw is raw for bytes that are no proper command, which a transport may refuse to carry.
func (s *Session) tryRaw(b []byte) apdu.Response {
	answer, err := s.card.Transmit(s.ctx, b)
	switch {
	case err == nil:
		return s.record(b, answer)
	case s.ctx.Err() != nil:
		panic(&verdict{err: err})
	}
	s.skip("the transport does not carry such a command: %v", err)
	return apdu.Response{}
}

func (s *Session) record(command, answer []byte) apdu.Response {
	if len(s.log) == maxLog {
		s.log = slices.Delete(s.log, 0, 1)
	}
	s.log = append(s.log, Exchange{Command: bytes.Clone(command), Answer: bytes.Clone(answer)})
	r, err := apdu.ParseResponse(answer)
	if err != nil {
		s.fail("the card answered %d bytes, which is no status word", len(answer))
	}
	return r
}

// once sends a command on its own class and returns the answer as it comes.
func (s *Session) once(c message) apdu.Response {
	b, err := apdu.Command(c).Bytes()
	if err != nil {
		panic(&verdict{err: err})
	}
	return s.raw(b)
}

// exchange sends a command as it is and collects the whole answer through GET RESPONSE.
//
// T=0 cannot carry Le beside data (ISO/IEC 7816-3, 12.2.3): there the card says 61xx, and
// GET RESPONSE carries the Le. What is left then was not asked for.
func (s *Session) exchange(c message) apdu.Response {
	r := s.once(c)
	if len(c.Data) > 0 && c.Le > 0 && c.Le < apdu.MaxLe && r.SW>>8 == 0x61 && len(r.Data) == 0 {
		if r = s.getMore(c.CLA, min(c.Le, waiting(r.SW))); r.SW>>8 == 0x61 {
			r.SW = apdu.OK
		}
		return r
	}
	data := r.Data
	for round := 0; r.SW>>8 == 0x61; round++ {
		if round == maxRounds {
			s.fail("the card still has data after %d GET RESPONSE commands", maxRounds)
		}
		r = s.getMore(c.CLA, waiting(r.SW))
		data = append(data[:len(data):len(data)], r.Data...)
	}
	return apdu.Response{Data: data, SW: r.SW}
}

// waiting is how many bytes 61xx announces.
func waiting(sw apdu.SW) int {
	if n := int(byte(sw)); n > 0 {
		return n
	}
	return apdu.MaxLe
}

// getMore is GET RESPONSE on the channel of a command of class cla.
func (s *Session) getMore(cla byte, le int) apdu.Response {
	return s.once(message{CLA: apdu.OnChannel(0, apdu.ChannelOf(cla)), INS: insGetResponse, Le: le})
}

// do sends a command to the applet, on its channel in the proprietary class.
func (s *Session) do(c message) apdu.Response {
	return s.exchange(c.class(apdu.OnChannel(0x80, s.channel)))
}

// ok sends a command that has to succeed and returns its data.
func (s *Session) ok(c message) []byte {
	r := s.do(c)
	if !r.SW.Succeeded() {
		s.fail("%s was answered %04X, want 9000", c.name(), uint16(r.SW))
	}
	return r.Data
}

// refused sends a command that has to be refused with one of the given status words, and
// without data.
func (s *Session) refused(c message, want ...apdu.SW) {
	s.isRefusal(c.name(), s.do(c), want...)
}

// isRefusal wants an answer to be a refusal with one of the given status words.
func (s *Session) isRefusal(name string, r apdu.Response, want ...apdu.SW) {
	if !slices.Contains(want, r.SW) {
		s.fail("%s was answered %04X, want %s", name, uint16(r.SW), words(want))
	}
	if len(r.Data) > 0 {
		s.fail("%s was refused with %04X, and yet answered %d bytes", name, uint16(r.SW), len(r.Data))
	}
}

// isError wants an answer to be a refusal with any error.
func (s *Session) isError(name string, r apdu.Response) {
	if r.SW.Processed() || r.SW>>8 == 0x61 || len(r.Data) > 0 {
		s.fail("%s was answered %04X with %d bytes, want an error", name, uint16(r.SW), len(r.Data))
	}
}

// same wants an answer to be certain bytes.
func (s *Session) same(what string, got, want []byte) {
	if !bytes.Equal(got, want) {
		s.fail("%s: % X, want % X", what, got, want)
	}
}

func words(all []apdu.SW) string {
	text := ""
	for i, sw := range all {
		if i > 0 {
			text += " or "
		}
		text += fmt.Sprintf("%04X", uint16(sw))
	}
	return text
}

// newChannel opens a further channel and selects the applet there.
func (s *Session) newChannel() int {
	ch := s.openChannel()
	if r := s.exchange(selectCommand(s.aid).class(apdu.OnChannel(0, ch))); !r.SW.Succeeded() {
		s.fail("SELECT on channel %d was answered %04X, want 9000", ch, uint16(r.SW))
	}
	return ch
}

// openChannel opens a further channel; the next test closes it.
func (s *Session) openChannel() int {
	if !s.opened {
		s.skip("the card gives no logical channels")
	}
	r := s.exchange(command(insManageChannel, 0, 0).le(1))
	switch {
	case r.SW == apdu.FunctionNotSupported || r.SW == apdu.ChannelNotSupported:
		s.skip("the card gives no second logical channel")
	case !r.SW.Succeeded() || len(r.Data) != 1 || r.Data[0] == 0 || r.Data[0] > apdu.MaxChannel:
		s.fail("MANAGE CHANNEL was answered % X %04X, want a channel number", r.Data, uint16(r.SW))
	}
	s.extra = append(s.extra, int(r.Data[0]))
	return int(r.Data[0])
}

// closed tells the session that a further channel is closed already.
func (s *Session) closed(ch int) {
	s.extra = slices.DeleteFunc(s.extra, func(open int) bool { return open == ch })
}
