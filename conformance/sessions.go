package conformance

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

var someDigest = hashOf(iotsafe.SHA256, []byte("a session"))

var sessionTests = []Test{
	{
		ID: "3.17-no-init", Chapter: "3.17, 8 (13)", Needs: []Need{Signing},
		Title: "COMPUTE SIGNATURE UPDATE without INIT answers 6985",
		run: func(s *Session) {
			for _, session := range []byte{0, 1, 5} {
				s.refused(signUpdate(session, digestField(someDigest)), apdu.ConditionsNot)
				s.refused(command(insSignUpdate, p1More, session, digestField(someDigest)), apdu.ConditionsNot)
			}
		},
	},
	{
		ID: "3.17-numbers", Chapter: "3.17", Needs: []Need{Signing},
		Title: "Sessions 00 to 05 can all be used",
		run: func(s *Session) {
			p := s.signing()
			for session := range byte(6) {
				s.signInit(session, p.private, iotsafe.PadAndSign)
				s.good(p.key, someDigest, s.signature(s.ok(signUpdate(session, digestField(someDigest)))))
			}
		},
	},
	{
		ID: "3.17-other-number", Chapter: "3.17, 8 (13)", Needs: []Need{Signing},
		Title: "UPDATE in another session than INIT answers 6985, and leaves the one that is open",
		run: func(s *Session) {
			p := s.signing()
			s.signInit(1, p.private, iotsafe.PadAndSign)
			s.refused(signUpdate(2, digestField(someDigest)), apdu.ConditionsNot)
			s.good(p.key, someDigest, s.signature(s.ok(signUpdate(1, digestField(someDigest)))))
		},
	},
	{
		ID: "3.17-ends", Chapter: "3.17, 5.1 (8), 8 (31)", Needs: []Need{Signing},
		Title: "The last UPDATE ends the session: a replayed one answers 6985",
		run: func(s *Session) {
			p := s.signing()
			s.signInit(0, p.private, iotsafe.PadAndSign)
			s.ok(signUpdate(0, digestField(someDigest)))
			s.refused(signUpdate(0, digestField(someDigest)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.17-failed-ends", Chapter: "3.17, 8 (31)", Needs: []Need{Signing},
		Title: "An UPDATE that is refused ends the session too",
		run: func(s *Session) {
			p := s.signing()
			s.signInit(0, p.private, iotsafe.PadAndSign)
			s.isError("UPDATE with an empty digest", s.do(signUpdate(0, digestField(nil))))
			s.refused(signUpdate(0, digestField(someDigest)), apdu.ConditionsNot)
		},
	},
	{
		ID: "3.17-close", Chapter: "3.17, 5.1 (8)", Needs: []Need{Signing},
		Title: "INIT with P1 01 and no data closes the session, with Le and without",
		run: func(s *Session) {
			p := s.signing()
			for _, le := range []int{0, apdu.MaxLe} {
				s.signInit(0, p.private, iotsafe.PadAndSign)
				s.ok(command(insSignInit, p1Close, 0).le(le))
				s.refused(signUpdate(0, digestField(someDigest)), apdu.ConditionsNot)
			}
		},
	},
	{
		ID: "3.17-close-other", Chapter: "3.17", Needs: []Need{Signing},
		Title: "Closing one session leaves the others",
		run: func(s *Session) {
			p := s.signing()
			s.signInit(0, p.private, iotsafe.PadAndSign)
			s.ok(command(insSignInit, p1Close, 1))
			s.good(p.key, someDigest, s.signature(s.ok(signUpdate(0, digestField(someDigest)))))
		},
	},
	{
		ID: "3.17-close-idle", Chapter: "3.17, 5.1 (8), 8 (14)", Needs: []Need{Signing},
		Title: "Closing a session that is not open answers 9000",
		run: func(s *Session) {
			for session := range byte(6) {
				s.ok(command(insSignInit, p1Close, session))
			}
		},
	},
	{
		ID: "3.17-restart", Chapter: "3.17, 5.1 (8)", Needs: []Need{Signing},
		Title: "INIT on a session in use starts it anew, with the new key and mode, any number of times",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			for range 40 { // more than there are sessions on any card
				s.signInit(0, p.private, iotsafe.PadAndSign)
			}
			s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
			s.good(p.key, hashOf(iotsafe.SHA256, long(9)), s.fullText(0, field(iotsafe.TagFullText, long(9)...)))
		},
	},
	{
		ID: "3.17-restart-drops-text", Chapter: "3.17, 3.13", Needs: []Need{Signing},
		Title: "INIT on a session in use forgets the text so far",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
			s.ok(command(insSignUpdate, p1More, 0, field(iotsafe.TagFullText, long(50)...)))
			s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
			s.good(p.key, hashOf(iotsafe.SHA256, long(9)), s.fullText(0, field(iotsafe.TagFullText, long(9)...)))
		},
	},
	{
		ID: "3.17-two", Chapter: "3.17", Needs: []Need{Signing},
		Title: "Two sessions at once do not mix: texts in turns",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			s.severalSessions()
			a, b := long(300), long(400)[37:]
			s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
			s.openSigning(1, p, iotsafe.FullText, iotsafe.SHA256)
			s.ok(command(insSignUpdate, p1More, 0, field(iotsafe.TagFullText, a[:150]...)))
			s.ok(command(insSignUpdate, p1More, 1, field(iotsafe.TagFullText, b[:200]...)))
			s.good(p.key, hashOf(iotsafe.SHA256, a), s.fullText(0, field(iotsafe.TagFullText, a[150:]...)))
			s.good(p.key, hashOf(iotsafe.SHA256, b), s.fullText(1, field(iotsafe.TagFullText, b[200:]...)))
		},
	},
	{
		ID: "3.17-two-modes", Chapter: "3.17", Needs: []Need{Signing},
		Title: "Two sessions at once keep their own modes",
		run: func(s *Session) {
			p := s.signingWith(iotsafe.SHA256)
			s.severalSessions()
			s.openSigning(0, p, iotsafe.FullText, iotsafe.SHA256)
			s.openSigning(1, p, iotsafe.PadAndSign, iotsafe.SHA256)
			s.good(p.key, hashOf(iotsafe.SHA256, long(20)), s.fullText(0, field(iotsafe.TagFullText, long(20)...)))
			s.good(p.key, someDigest, s.signature(s.ok(signUpdate(1, digestField(someDigest)))))
		},
	},
	{
		ID: "3.17-two-keys", Chapter: "3.17", Needs: []Need{Signing},
		Title: "Two sessions at once keep their own keys",
		run: func(s *Session) {
			s.severalSessions()
			a := s.signing()
			var b pair
			for _, o := range s.objects() {
				public, ok := s.publicHalf(o)
				if o.Kind == iotsafe.PrivateKey && o.ID != a.private.ID && o.Active && p256(o) && o.Usage == iotsafe.General &&
					o.Functions&iotsafe.Signing != 0 && o.Signatures&iotsafe.ECDSA != 0 && ok && public.Active && readable(public) {
					b = pair{o, public, s.readKey(public)}
				}
			}
			if b.key == nil {
				s.skip("the card has no two active keys that sign")
			}
			s.signInit(0, a.private, iotsafe.PadAndSign)
			s.signInit(1, b.private, iotsafe.PadAndSign)
			s.good(a.key, someDigest, s.signature(s.ok(signUpdate(0, digestField(someDigest)))))
			s.good(b.key, someDigest, s.signature(s.ok(signUpdate(1, digestField(someDigest)))))
		},
	},
	{
		ID: "3.17-limit", Chapter: "2.4, 3.17, 3.18", Needs: []Need{Signing},
		Title: "As many sessions can be open as tag B7 says, and one more answers 6989",
		run: func(s *Session) {
			p := s.signing()
			most := s.told.info.MaxSessions
			for session := range most {
				s.signInit(byte(session), p.private, iotsafe.PadAndSign)
			}
			if most < 256 {
				s.refused(command(insSignInit, p1Open, byte(most), signInit(id(p.private), iotsafe.PadAndSign)), apdu.RemoteAdminTouched)
			}
			s.ok(command(insSignInit, p1Close, 0))
			s.signInit(0, p.private, iotsafe.PadAndSign)
		},
	},
	{
		ID: "3.17-select", Chapter: "3.17, 5.1 (8), 8 (16)", Needs: []Need{Signing},
		Title: "SELECT ends the sessions of its channel",
		run: func(s *Session) {
			p := s.signing()
			s.signInit(0, p.private, iotsafe.PadAndSign)
			s.signInit(1, p.private, iotsafe.PadAndSign)
			s.exchange(s.selectBy(s.aid))
			for _, session := range []byte{0, 1} {
				s.refused(signUpdate(session, digestField(someDigest)), apdu.ConditionsNot)
			}
		},
	},
	{
		ID: "3.17-select-frees", Chapter: "3.17, 5.1 (8)", Needs: []Need{Signing},
		Title: "SELECT frees the sessions: all can be opened again",
		run: func(s *Session) {
			p := s.signing()
			for range 3 {
				for session := range s.told.info.MaxSessions {
					s.signInit(byte(session), p.private, iotsafe.PadAndSign)
				}
				s.exchange(s.selectBy(s.aid))
			}
		},
	},
	{
		ID: "3.17-channels", Chapter: "3.17, 5.1 (8)", Needs: []Need{Signing, Channels},
		Title: "Sessions belong to their channel: another channel has none of them",
		run: func(s *Session) {
			p := s.signing()
			s.signInit(0, p.private, iotsafe.PadAndSign)
			ch := s.newChannel()
			r := s.exchange(signUpdate(0, digestField(someDigest)).class(apdu.OnChannel(0x80, ch)))
			s.isRefusal("UPDATE on another channel", r, apdu.ConditionsNot)
			s.exchange(selectCommand(s.aid).class(apdu.OnChannel(0, ch)))
			s.good(p.key, someDigest, s.signature(s.ok(signUpdate(0, digestField(someDigest)))))
		},
	},
	{
		ID: "3.17-channel-closed", Chapter: "3.17, 5.1 (8)", Needs: []Need{Signing, Channels},
		Title: "Closing a channel ends its sessions and frees them",
		run: func(s *Session) {
			p := s.signing()
			for range s.told.info.MaxSessions + 1 {
				ch := s.newChannel()
				r := s.exchange(command(insSignInit, p1Open, 0, signInit(id(p.private), iotsafe.PadAndSign)).class(apdu.OnChannel(0x80, ch)))
				if !r.SW.Succeeded() {
					s.fail("COMPUTE SIGNATURE INIT on a fresh channel was answered %04X", uint16(r.SW))
				}
				s.manage(0, 0x80, byte(ch), 0)
				s.closed(ch)
			}
		},
	},
	{
		ID: "3.17-other-commands", Chapter: "3.17", Needs: []Need{Signing},
		Title: "Other commands in between do not disturb a session",
		run: func(s *Session) {
			p := s.signing()
			s.signInit(0, p.private, iotsafe.PadAndSign)
			s.application()
			s.randomBytes(20)
			s.readKey(p.public)
			s.do(command(0x06, 0, 0))
			s.do(getData(iotsafe.File, s.unknown(iotsafe.File, 1)))
			s.good(p.key, someDigest, s.signature(s.ok(signUpdate(0, digestField(someDigest)))))
		},
	},
	{
		ID: "3.17-spaces", Chapter: "3.17, 5.1 (8), 8 (15)", Needs: []Need{Signing, Verification},
		Title: "Sessions for signing and for verifying have numbers of their own",
		run: func(s *Session) {
			p := s.signing()
			s.severalSessions()
			v := s.verifying(p)
			s.signInit(0, p.private, iotsafe.PadAndSign)
			s.ok(command(insVerifyInit, p1Open, 0, signInit(id(v), iotsafe.PadAndSign)))
			signature := s.signature(s.ok(signUpdate(0, digestField(someDigest))))
			s.ok(verifyUpdate(0, someDigest, signature))
		},
	},
	{
		ID: "3.17-spaces-apart", Chapter: "3.17, 5.1 (8), 8 (15)", Needs: []Need{Signing, Verification},
		Title: "A session for signing takes no VERIFY UPDATE, one for verifying no COMPUTE UPDATE",
		run: func(s *Session) {
			p := s.signing()
			v := s.verifying(p)
			s.signInit(0, p.private, iotsafe.PadAndSign)
			s.refused(verifyUpdate(0, someDigest, make([]byte, 64)), apdu.ConditionsNot)
			s.ok(command(insSignInit, p1Close, 0))
			s.ok(command(insVerifyInit, p1Open, 0, signInit(id(v), iotsafe.PadAndSign)))
			s.refused(signUpdate(0, digestField(someDigest)), apdu.ConditionsNot)
			s.ok(command(insVerifyInit, p1Close, 0))
		},
	},
}

// severalSessions skips the test on a card with one session only.
func (s *Session) severalSessions() {
	if s.told.info.MaxSessions < 2 {
		s.skip("the card has one session only (tag B7)")
	}
}
