package conformance

import (
	"bytes"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// unknownInstructions belong neither to the interface nor to the UICC.
var unknownInstructions = []byte{0x06, 0x0A, 0x56, 0xA8, 0xBC, 0xFA}

// describe is a command that has answer data: GET DATA of one object.
func (s *Session) describe() message {
	objects := s.objects()
	if len(objects) == 0 {
		s.skip("the card lists no objects")
	}
	return getData(objects[0].Kind, id(objects[0])).class(apdu.OnChannel(0x80, s.channel))
}

// getResponse asks for what waits, in a class.
func (s *Session) getResponse(cla byte, le int) apdu.Response {
	return s.once(command(insGetResponse, 0, 0).class(apdu.OnChannel(cla, s.channel)).le(le))
}

var parameterTests = []Test{
	{
		ID: "3.18-unknown-instruction", Chapter: "3.18",
		Title: "An instruction that does not exist answers 6D00, in classes 0n and 8n",
		run: func(s *Session) {
			for _, ins := range unknownInstructions {
				for _, cla := range []byte{0x80, 0x00} {
					s.isRefusal("an unknown instruction", s.exchange(command(ins, 0, 0).class(apdu.OnChannel(cla, s.channel))), apdu.InstructionNot)
				}
			}
		},
	},
	{
		ID: "3.18-unknown-with-data", Chapter: "3.18",
		Title: "An instruction that does not exist answers 6D00 with data and parameters too",
		run: func(s *Session) {
			for _, ins := range unknownInstructions {
				s.refused(command(ins, 0x11, 0x22, field(0x84, 0x01)), apdu.InstructionNot)
			}
		},
	},
	{
		ID: "3.18-lc", Chapter: "3.18, 4",
		Title: "A command whose Lc does not fit its data is refused, with 6700 or 6A80",
		run: func(s *Session) {
			name := s.unknown(iotsafe.File, 3)
			whole := s.bytes(getData(iotsafe.File, name)) // 4 bytes of header, Lc, data
			for _, lc := range []byte{1, 3, byte(len(name)) + 1, 0xFF} {
				b := bytes.Clone(whole)
				b[4] = lc
				s.isRefusal("a command with a wrong Lc", s.tryRaw(b), malformed...)
			}
			s.ok(command(insGetRandom, 0, 0).le(8))
		},
	},
}

var transportTests = []Test{
	{
		ID: "4-no-le", Chapter: "3.2, 5.1 (5)",
		Title: "Without Le, data to answer is announced with 61xx, and GET RESPONSE hands out just that",
		run: func(s *Session) {
			c := s.describe()
			r := s.once(c)
			if r.SW>>8 != 0x61 || len(r.Data) > 0 {
				s.fail("the command without Le was answered %d bytes and %04X", len(r.Data), uint16(r.SW))
			}
			next := s.getResponse(0, int(byte(r.SW)))
			if !next.SW.Succeeded() || len(next.Data) != int(byte(r.SW)) {
				s.fail("%04X was followed by %d bytes and %04X", uint16(r.SW), len(next.Data), uint16(next.SW))
			}
		},
	},
	{
		ID: "4-le-00", Chapter: "3.2, 5.1 (5)",
		Title: "With Le 00 all data is answered, the same as without Le",
		run: func(s *Session) {
			c := s.describe()
			s.same("the answer with Le 00", s.exchange(c.le(apdu.MaxLe)).Data, s.exchange(c).Data)
		},
	},
	{
		ID: "4-le-n", Chapter: "3.2, 5.1 (5)",
		Title: "With another Le at most so many bytes are answered, with 9000",
		run: func(s *Session) {
			c := s.describe()
			all := s.exchange(c).Data
			for _, n := range []int{1, 2, len(all) - 1, len(all)} {
				if n < 1 || n > len(all) {
					continue
				}
				r := s.exchange(c.le(n))
				if !r.SW.Succeeded() {
					s.fail("Le %d was answered %04X", n, uint16(r.SW))
				}
				s.same("the first bytes", r.Data, all[:n])
			}
			if r := s.exchange(c.le(min(apdu.MaxLe, len(all)+20))); !r.SW.Succeeded() || !bytes.Equal(r.Data, all) {
				s.fail("a longer Le than there is data was answered %d bytes and %04X", len(r.Data), uint16(r.SW))
			}
		},
	},
	{
		ID: "4-le-no-data", Chapter: "5.1 (5)", Needs: []Need{Signing},
		Title: "Le 00 on a command without answer data answers 9000",
		run: func(s *Session) {
			if r := s.once(command(insSignInit, p1Close, 0).class(apdu.OnChannel(0x80, s.channel)).le(apdu.MaxLe)); !r.SW.Succeeded() {
				s.fail("closing a session with Le 00 was answered %04X", uint16(r.SW))
			}
		},
	},
	{
		ID: "4-get-response-class", Chapter: "1.3, 5.1 (1)",
		Title: "GET RESPONSE is taken in classes 0n and 8n",
		run: func(s *Session) {
			c := s.describe()
			want := s.exchange(c).Data
			for _, cla := range []byte{0x00, 0x80} {
				r := s.once(c)
				if next := s.getResponse(cla, int(byte(r.SW))); !next.SW.Succeeded() || !bytes.Equal(next.Data, want) {
					s.fail("GET RESPONSE in class %02X was answered %d bytes and %04X", apdu.OnChannel(cla, s.channel), len(next.Data), uint16(next.SW))
				}
			}
		},
	},
	{
		ID: "4-get-response-parts", Chapter: "4",
		Title: "GET RESPONSE for less than there is answers 61xx with what is left, and the parts are the whole",
		run: func(s *Session) {
			c := s.describe()
			want := s.exchange(c).Data
			var got []byte
			s.once(c)
			for len(got) < len(want) {
				n := min(5, len(want)-len(got))
				r := s.getResponse(0, n)
				got = append(got, r.Data...)
				left := len(want) - len(got)
				if len(r.Data) != n || (left > 0) != (r.SW>>8 == 0x61) || left > 0 && int(byte(r.SW)) != left || left == 0 && !r.SW.Succeeded() {
					s.fail("GET RESPONSE for %d bytes, with %d left behind them, was answered %d bytes and %04X", n, left, len(r.Data), uint16(r.SW))
				}
			}
			s.same("the parts together", got, want)
		},
	},
	{
		ID: "4-get-response-idle", Chapter: "4",
		Title: "GET RESPONSE with nothing to answer is an error",
		run: func(s *Session) {
			s.isError("GET RESPONSE", s.getResponse(0, apdu.MaxLe))
			s.exchange(s.describe())
			s.isError("GET RESPONSE behind the last part", s.getResponse(0, apdu.MaxLe))
		},
	},
	{
		ID: "4-get-response-late", Chapter: "4",
		Title: "Another command in between discards the answer that waits",
		run: func(s *Session) {
			s.once(s.describe())
			s.ok(command(insGetRandom, 0, 0).le(4))
			s.isError("GET RESPONSE after another command", s.getResponse(0, apdu.MaxLe))
		},
	},
	{
		ID: "4-get-response-channels", Chapter: "4", Needs: []Need{Channels},
		Title: "The answer that waits on one channel is not handed out on another",
		run: func(s *Session) {
			ch := s.newChannel()
			c := s.describe()
			want := s.exchange(c).Data
			r := s.once(c)
			s.isError("GET RESPONSE on another channel", s.once(command(insGetResponse, 0, 0).class(apdu.OnChannel(0, ch)).le(apdu.MaxLe)))
			s.same("the answer on its own channel", s.getResponse(0, int(byte(r.SW))).Data, want)
		},
	},
	{
		ID: "4-never-6c", Chapter: "5.1 (5)",
		Title: "A command with data is never answered 6Cxx, whatever its Le",
		run: func(s *Session) {
			c := s.describe()
			for _, n := range []int{1, 4, 40, 200, apdu.MaxLe} {
				if r := s.once(c.le(n)); r.SW>>8 == 0x6C {
					s.fail("Le %d was answered %04X", n, uint16(r.SW))
				}
			}
		},
	},
}

// mistakes are commands that a card has to refuse.
func (s *Session) mistakes() []message {
	return []message{
		command(0x06, 0, 0),
		command(insGetData, 0x77, 0),
		command(insGetData, byte(iotsafe.File), 0, field(0x83)),
		getData(iotsafe.File, s.unknown(iotsafe.File, 20)),
		getData(iotsafe.PrivateKey, []byte{0x84, 0x7F, 0x01}),
		readFile(0xFFFF, s.unknown(iotsafe.File, 1)),
		command(insReadPublicKey, 0x09, 0),
		command(insSignInit, p1Open, 0, []byte{0xFF, 0xFF, 0xFF}),
		command(insSignUpdate, p1Last, 9, bytes.Repeat([]byte{0xAA}, 255)),
		command(insSignInit, 0x7A, 0),
		command(insVerifyInit, p1Open, 0, slices.Repeat([]byte{0x85, 0x01, 0x01}, 80)),
		command(insVerifyUpdate, p1Last, 0, []byte{0x33}),
		command(insPutUpdate, p1Last, 0, []byte{0x34}),
		command(insDH, 0, 0, bytes.Repeat([]byte{0x84, 0x00}, 100)),
		command(insPRF, 0x55, 0),
		command(insHKDF, 0, 0, []byte{0xD1, 0xFF}),
		command(insGetRandom, 0x01, 0).le(8),
	}
}

var recoveryTests = []Test{
	{
		ID: "3.18-recovery", Chapter: "3.18",
		Title: "After any command that is refused, the next good one works",
		run: func(s *Session) {
			want := s.application()
			for _, c := range s.mistakes() {
				s.isError(c.name()+", a mistake", s.do(c))
				s.same("the application information after a mistake", s.application(), want)
			}
		},
	},
	{
		ID: "3.18-recovery-signing", Chapter: "3.18, 3.17", Needs: []Need{Signing},
		Title: "After any command that is refused, the card still signs",
		run: func(s *Session) {
			p := s.signing()
			for _, c := range s.mistakes() {
				s.isError(c.name()+", a mistake", s.do(c))
				s.good(p.key, someDigest, s.sign(p.private, someDigest))
			}
		},
	},
	{
		ID: "3.18-nothing-changed", Chapter: "3.18",
		Title: "Refused commands change nothing in the list of objects",
		run: func(s *Session) {
			before := slices.Concat(s.strictParts()...)
			for _, c := range s.mistakes() {
				s.do(c)
			}
			s.same("the list after mistakes", slices.Concat(s.strictParts()...), before)
		},
	},
}
