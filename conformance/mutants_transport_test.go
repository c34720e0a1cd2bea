package conformance_test

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
)

var transportMutants = []mutant{
	{"data comes at once without Le", "4-no-le", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		r := pass(c)
		if len(r) == 2 && r[0] == 0x61 {
			return pass([]byte{c[0] & 0x03, 0xC0, 0, 0, r[1]})
		}
		return r
	})},
	{"61xx says one byte too many", "4-no-le", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		r := pass(c)
		if len(r) == 2 && r[0] == 0x61 {
			r[1]++
		}
		return r
	})},
	{"Le is ignored", "4-le-n", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if len(c) > 5 && len(c) == 6+int(c[4]) {
			c = append(bytes.Clone(c[:len(c)-1]), 0)
		}
		return pass(c)
	})},
	{"a wrong Le is answered 6Cxx", "4-never-6c", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if len(c) > 5 && len(c) == 6+int(c[4]) && c[len(c)-1] == 4 {
			return []byte{0x6C, 0x20}
		}
		return pass(c)
	})},
	{"Le 00 answers nothing", "4-le-00", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		r := pass(c)
		if len(c) > 5 && len(c) == 6+int(c[4]) && c[len(c)-1] == 0 && c[1] == getData && c[2] != 1 {
			return r[len(r)-2:]
		}
		return r
	})},
	{"Le 00 without an answer is refused", "4-le-no-data", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == signInit && len(c) == 5 {
			return []byte{0x67, 0x00}
		}
		return pass(c)
	})},
	{"GET RESPONSE is taken in class 0n only", "4-get-response-class", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0xC0 && c[0]&0x80 != 0 {
			return []byte{0x6E, 0x00}
		}
		return pass(c)
	})},
	{"GET RESPONSE gives all or nothing", "4-get-response-parts", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0xC0 {
			c = append(bytes.Clone(c[:4]), 0)
		}
		return pass(c)
	})},
	{"GET RESPONSE with nothing to answer is 9000", "4-get-response-idle", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		r := pass(c)
		if c[1] == 0xC0 && len(r) == 2 {
			return []byte{0x90, 0x00}
		}
		return r
	})},
	{"an answer waits for ever", "4-get-response-late", func(w *wrong) {
		var waits []byte
		w.card = func(c []byte, pass func([]byte) []byte) []byte {
			r := pass(c)
			switch {
			case c[1] == 0xC0 && len(r) == 2 && waits != nil:
				return waits
			case c[1] == getData && len(r) == 2 && r[0] == 0x61:
				waits = pass([]byte{c[0] & 0x03, 0xC0, 0, 0, r[1]})
				return pass(c)
			}
			return r
		}
	}},
	{"an answer waits on all channels", "4-get-response-channels", func(w *wrong) {
		last := byte(0)
		w.card = func(c []byte, pass func([]byte) []byte) []byte {
			if c[1] == 0xC0 {
				c = append([]byte{last}, c[1:]...)
			} else {
				last = c[0] & 3
			}
			return pass(c)
		}
	}},
	{"an unknown instruction answers 6E00", "3.18-unknown-instruction", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if r := right(ch, c); r.SW != apdu.InstructionNot {
			return r
		}
		return apdu.Response{SW: apdu.ClassNot}
	})},
	{"an unknown instruction with data answers 6A86", "3.18-unknown-with-data", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if r := right(ch, c); r.SW != apdu.InstructionNot || len(c.Data) == 0 {
			return r
		}
		return apdu.Response{SW: apdu.WrongP1P2}
	})},
	{"Lc is ignored", "3.18-lc", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if len(c) == 10 && c[1] == getData {
			c = bytes.Clone(c)
			c[4] = 5
		}
		return pass(c)
	})},
	{"a mistake leaves the card stuck", "3.18-recovery", func(w *wrong) {
		stuck := false
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if stuck {
				stuck = false
				return apdu.Response{SW: apdu.Unknown}
			}
			r := right(ch, c)
			stuck = c.INS == computePRF && r.SW == apdu.WrongP1P2
			return r
		})(w)
	}},
	{"a mistake spoils the next signature", "3.18-recovery-signing", func(w *wrong) {
		spoiled := false
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			r := right(ch, c)
			spoiled = spoiled || r.SW == apdu.NotFound
			if c.INS == signUpdate && r.SW == apdu.OK && spoiled {
				spoiled = false
				r.Data[len(r.Data)-1] ^= 1
			}
			return r
		})(w)
	}},
	{"a mistake switches an object off", "3.18-nothing-changed", func(w *wrong) {
		off := false
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			r := right(ch, c)
			if r.SW == apdu.WrongP1P2 && c.INS == computePRF {
				off = true
			}
			if off && c.INS == getData && c.P1 == 1 {
				r.Data = eachEntry(r.Data, func(e []byte) []byte { return replace(e, 0x4A, []byte{0}) })
			}
			return r
		})(w)
	}},
}
