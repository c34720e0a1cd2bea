package conformance

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
)

var selectionTests = []Test{
	{
		ID: "1.1-select", Chapter: "1.1, 5.1 (2)",
		Title: "SELECT by AID without Le answers 9000 and no data",
		run: func(s *Session) {
			if r := s.once(s.selectBy(s.aid)); !r.SW.Succeeded() || len(r.Data) > 0 {
				s.fail("SELECT was answered %d bytes and %04X", len(r.Data), uint16(r.SW))
			}
		},
	},
	{
		ID: "1.1-select-le", Chapter: "1.1, 3.2",
		Title: "SELECT works with Le too",
		run: func(s *Session) {
			if r := s.exchange(s.selectBy(s.aid).le(apdu.MaxLe)); !r.SW.Succeeded() {
				s.fail("SELECT with Le 00 was answered %04X", uint16(r.SW))
			}
			s.ok(command(insGetRandom, 0, 0).le(8))
		},
	},
	{
		ID: "1.1-select-again", Chapter: "1.1, 3.17",
		Title: "The applet can be selected again on its channel, as often as one likes",
		run: func(s *Session) {
			for range 5 {
				if r := s.exchange(s.selectBy(s.aid)); !r.SW.Succeeded() {
					s.fail("SELECT was answered %04X", uint16(r.SW))
				}
				s.ok(command(insGetRandom, 0, 0).le(8))
			}
		},
	},
	{
		ID: "1.1-select-unknown", Chapter: "1.1, 3.18",
		Title: "SELECT of an AID that the card does not have answers 6A82",
		run: func(s *Session) {
			s.isRefusal("SELECT of an unknown AID", s.exchange(s.selectBy([]byte("\xF0\x6E\x6F\x6E\x65\x00\x01"))), apdu.NotFound)
		},
	},
	{
		ID: "1.1-select-longer", Chapter: "1.1, ISO/IEC 7816-4 12.2.2",
		Title: "SELECT of an AID with a byte too many, or with another last byte, answers 6A82",
		run: func(s *Session) {
			if len(s.aid) < 16 {
				s.isRefusal("SELECT of a longer AID", s.exchange(s.selectBy(append(bytes.Clone(s.aid), 0xE7))), apdu.NotFound)
			}
			other := bytes.Clone(s.aid)
			other[len(other)-1] ^= 0xA5
			s.isRefusal("SELECT of a similar AID", s.exchange(s.selectBy(other)), apdu.NotFound)
		},
	},
	{
		ID: "1.1-select-failed", Chapter: "1.1, ISO/IEC 7816-4 7.1.1",
		Title: "A SELECT that fails leaves the applet selected",
		run: func(s *Session) {
			s.exchange(s.selectBy([]byte("\xF0\x6E\x6F\x6E\x65\x00\x01")))
			s.ok(command(insGetRandom, 0, 0).le(8))
		},
	},
}

// manage sends MANAGE CHANNEL in the class of a channel.
func (s *Session) manage(from int, p1, p2 byte, le int) apdu.Response {
	return s.once(command(insManageChannel, p1, p2).class(apdu.OnChannel(0, from)).le(le))
}

// random asks for random bytes on a channel.
func (s *Session) random(ch int) apdu.Response {
	return s.exchange(command(insGetRandom, 0, 0).class(apdu.OnChannel(0x80, ch)).le(8))
}

var channelTests = []Test{
	{
		ID: "1.2-open", Chapter: "1.2, 5.1 (4)", Needs: []Need{Channels},
		Title: "MANAGE CHANNEL hands out one of the channels 1 to 3, with Le 01 and with Le 00",
		run: func(s *Session) {
			for _, le := range []int{1, apdu.MaxLe} {
				r := s.manage(0, 0, 0, le)
				if r.SW == apdu.FunctionNotSupported || r.SW == apdu.ChannelNotSupported {
					s.skip("the card gives no second logical channel")
				}
				if !r.SW.Succeeded() || len(r.Data) != 1 || r.Data[0] < 1 || r.Data[0] > 3 {
					s.fail("MANAGE CHANNEL with Le %d was answered % X %04X, want a channel from 1 to 3", le, r.Data, uint16(r.SW))
				}
				ch := int(r.Data[0])
				s.extra = append(s.extra, ch)
				if ch == s.channel {
					s.fail("channel %d was handed out twice", ch)
				}
				if r := s.manage(0, 0x80, byte(ch), 0); !r.SW.Succeeded() {
					s.fail("closing channel %d was answered %04X", ch, uint16(r.SW))
				}
				s.closed(ch)
			}
		},
	},
	{
		ID: "1.2-open-fresh", Chapter: "1.2, ETSI TS 102 221 11.1.17", Needs: []Need{Channels},
		Title: "A channel just opened has no applet selected",
		run: func(s *Session) {
			ch := s.openChannel()
			s.isError("READ PUBLIC KEY on a fresh channel", s.exchange(command(insReadPublicKey, 0, 0, field(0x85, 0x01)).class(apdu.OnChannel(0x80, ch))))
		},
	},
	{
		ID: "1.2-close", Chapter: "1.2, 5.1 (4)", Needs: []Need{Channels},
		Title: "A channel is closed from the basic channel with a command of 4 or of 5 bytes, and from itself",
		run: func(s *Session) {
			for _, how := range []struct {
				own bool
				le  int
			}{{false, 0}, {false, apdu.MaxLe}, {true, 0}, {true, apdu.MaxLe}} {
				ch := s.newChannel()
				from := 0
				if how.own {
					from = ch
				}
				if r := s.manage(from, 0x80, byte(ch), how.le); !r.SW.Succeeded() {
					s.fail("closing channel %d from channel %d with Le %d was answered %04X", ch, from, how.le, uint16(r.SW))
				}
				s.closed(ch)
			}
		},
	},
	{
		ID: "1.2-close-idle", Chapter: "1.2, 5.1 (4)", Needs: []Need{Channels},
		Title: "Closing a channel that is not open is an error",
		run: func(s *Session) {
			ch := s.openChannel()
			s.manage(0, 0x80, byte(ch), 0)
			s.closed(ch)
			s.isError("closing a closed channel", s.manage(0, 0x80, byte(ch), apdu.MaxLe))
		},
	},
	{
		ID: "1.2-closed", Chapter: "1.2, ISO/IEC 7816-4 5.4.1", Needs: []Need{Channels},
		Title: "The applet does not answer on a channel that was closed",
		run: func(s *Session) {
			ch := s.newChannel()
			s.manage(0, 0x80, byte(ch), 0)
			s.closed(ch)
			s.isError("GET RANDOM on a closed channel", s.random(ch))
		},
	},
	{
		ID: "1.2-select-opens", Chapter: "1.2, 5.1 (3)", Needs: []Need{Channels},
		Title: "SELECT on a channel from 1 to 3 that nobody opened opens it",
		run: func(s *Session) {
			ch := s.openChannel()
			if ch > 3 {
				s.skip("no channel from 1 to 3 is free")
			}
			s.manage(0, 0x80, byte(ch), 0)
			if r := s.exchange(selectCommand(s.aid).class(byte(ch))); !r.SW.Succeeded() {
				s.fail("SELECT on channel %d was answered %04X", ch, uint16(r.SW))
			}
			if r := s.random(ch); !r.SW.Succeeded() {
				s.fail("GET RANDOM on it was answered %04X", uint16(r.SW))
			}
		},
	},
	{
		ID: "1.2-two", Chapter: "1.2", Needs: []Need{Channels},
		Title: "The applet works on two channels at once, and closing one leaves the other",
		run: func(s *Session) {
			ch := s.newChannel()
			for _, c := range []int{ch, s.channel, ch} {
				if r := s.random(c); !r.SW.Succeeded() || len(r.Data) != 8 {
					s.fail("GET RANDOM on channel %d was answered %04X", c, uint16(r.SW))
				}
			}
			s.manage(0, 0x80, byte(ch), 0)
			s.closed(ch)
			s.ok(command(insGetRandom, 0, 0).le(8))
		},
	},
}

var classTests = []Test{
	{
		ID: "1.3-both", Chapter: "1.3, 5.1 (1)",
		Title: "Classes 0n and 8n are both taken, and mean the same",
		run: func(s *Session) {
			c := command(insGetData, 0, 0).le(apdu.MaxLe)
			low := s.exchange(c.class(apdu.OnChannel(0, s.channel)))
			high := s.exchange(c.class(apdu.OnChannel(0x80, s.channel)))
			if !low.SW.Succeeded() || !high.SW.Succeeded() || !bytes.Equal(low.Data, high.Data) {
				s.fail("GET DATA was answered %04X with %d bytes in class 0n and %04X with %d bytes in class 8n",
					uint16(low.SW), len(low.Data), uint16(high.SW), len(high.Data))
			}
		},
	},
	{
		ID: "1.3-unknown", Chapter: "1.3, 3.18",
		Title: "A class that is neither 0n nor 8n answers 6E00",
		run: func(s *Session) {
			for _, cla := range []byte{0x20, 0xB0} {
				c := command(insGetData, 0, 0).class(cla | byte(min(s.channel, 3))).le(apdu.MaxLe)
				s.isRefusal("GET DATA in an unknown class", s.once(c), apdu.ClassNot)
			}
		},
	},
}
