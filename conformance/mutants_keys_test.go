package conformance_test

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

var generateMutants = []mutant{
	{"GENERATE answers 85 before 84", "3.8-answer", data(generate, func(b []byte) []byte {
		fields, _ := tlvs(b)
		return slices.Concat(fields[1], fields[0], fields[2])
	})},
	{"GENERATE answers the public key alone", "3.8-answer", data(generate, func(b []byte) []byte { return b[len(b)-71:] })},
	{"GENERATE names another public key", "3.8-identifiers", data(generate, func(b []byte) []byte {
		b[bytes.IndexByte(b, 0x85)+2] = 0x77
		return b
	})},
	{"GENERATE makes a key once", "3.8-fresh", func(w *wrong) {
		made := map[string]apdu.Response{}
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if r, ok := made[string(c.Data)]; ok && c.INS == generate {
				return r
			}
			r := right(ch, c)
			if c.INS == generate && r.SW == apdu.OK {
				made[string(c.Data)] = r
			}
			return r
		})(w)
	}},
	{"READ PUBLIC KEY answers the key before", "3.8-read-back", func(w *wrong) {
		before := map[string]apdu.Response{}
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == generate && c.P1 == 0 {
				name := append([]byte{0x85}, c.Data[1:]...)
				before[string(name)] = right(ch, apdu.Command{CLA: c.CLA, INS: readKey, Data: name})
			}
			if r, ok := before[string(c.Data)]; ok && c.INS == readKey {
				return r
			}
			return right(ch, c)
		})(w)
	}},
	{"a generated key is not activated", "3.8-active", lie(iotsafe.PrivateKey, "\x01", 0x4A, 0)},
	{"a key without the function is generated", "3.8-not-allowed", lie(iotsafe.PrivateKey, "\x01", 0x61, 0x01)},
	{"a key in use is generated", "3.8-in-session", func(w *wrong) {
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == generate {
				w.Applet.Deselect(ch)
			}
			return right(ch, c)
		})(w)
	}},
	{"GENERATE takes no labels", "3.8-label", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == generate && len(c.Data) > 0 && c.Data[0] == 0x74 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"GENERATE with Le answers the key alone", "3.8-le", after(generate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.Le > 0 && r.SW == apdu.OK {
			r.Data = r.Data[len(r.Data)-71:]
		}
		return r
	})},
	{"a malformed name for GENERATE is only unknown", "3.8-malformed", answers(generate, apdu.WrongData, apdu.NotFound)},
	{"P1 of GENERATE is ignored", "3.8-parameters", ignoresP1(generate, 0)},
	{"GENERATE of an unknown key answers 6985", "3.8-unknown", answers(generate, apdu.NotFound, apdu.ConditionsNot)},
	{"a generated key does not sign", "3.8-signs", func(w *wrong) {
		made := false
		after(generate, func(_ apdu.Command, r apdu.Response) apdu.Response { made = made || r.SW == apdu.OK; return r })(w)
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == signInit && made && c.P1 == 0 { // the second signer in its place
				c.Data = slices.Concat(append([]byte{0x84, 20}, "an id of twenty byte"...), c.Data[3:])
			}
			return right(ch, c)
		})(w)
	}},
}

var publicKeyMutants = []mutant{
	{"READ PUBLIC KEY answers a bare point", "3.9-form", data(readKey, func(b []byte) []byte { return b[len(b)-65:] })},
	{"public keys are compressed", "3.9-form", data(readKey, func(b []byte) []byte {
		if len(b) != 71 {
			return b
		}
		return slices.Concat([]byte{0x34, 0x25, 0x49, 0x23, 0x86, 0x21, 2 | b[70]&1}, b[7:39])
	})},
	{"READ PUBLIC KEY with Le has no template", "3.9-again", after(readKey, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.Le > 0 && len(r.Data) > 6 {
			r.Data = r.Data[6:]
		}
		return r
	})},
	{"a public key without the right is read", "3.9-no-right", both(
		lie(iotsafe.PublicKey, "\x01", 0x60, 0), hide(iotsafe.PublicKey, "\x0B", "\x0C", "\x0D"))},
	{"a public key that is not activated is read", "3.9-inactive", lie(iotsafe.PublicKey, "\x01", 0x4A, 0)},
	{"P2 of READ PUBLIC KEY is ignored", "3.9-parameters", ignoresP2(readKey)},
	{"an unknown public key answers 6A88", "3.9-unknown", answers(readKey, apdu.NotFound, apdu.ReferenceNotFound)},
	{"READ PUBLIC KEY takes any tag", "3.9-malformed", before(readKey, func(c *apdu.Command) {
		if len(c.Data) > 0 && c.Data[0] == 0x83 {
			c.Data[0] = 0x85
		}
	})},
}

// hide leaves objects out of the list, so that the kit turns to others.
func hide(kind iotsafe.Kind, ids ...string) fault {
	return list(func(e []byte) []byte {
		for _, id := range ids {
			if names(e, kind, id) {
				return nil
			}
		}
		return e
	})
}

var putMutants = []mutant{
	{"a point off the curve is taken", "3.10-bad-points", answers(putUpdate, apdu.WrongData, apdu.OK)},
	{"coordinates beyond the prime are taken", "3.10-bad-points", after(putUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.WrongData && len(c.Data) == 71 && bytes.HasPrefix(c.Data[7:], []byte{0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1}) {
			r.SW = apdu.OK
		}
		return r
	})},
	{"the point 0, 0 is taken", "3.10-bad-points", after(putUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if len(c.Data) == 71 && bytes.Equal(c.Data[7:], make([]byte, 64)) {
			r.SW = apdu.OK
		}
		return r
	})},
	{"compressed points are taken", "3.10-bad-points", after(putUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if len(c.Data) == 39 {
			r.SW = apdu.OK
		}
		return r
	})},
	{"PUT UPDATE works without INIT", "3.10-no-init", answers(putUpdate, apdu.ConditionsNot, apdu.OK)},
	{"PUT ignores the session", "3.10-other-session", both(ignoresP2(putInit), ignoresP2(putUpdate))},
	{"PUT UPDATE can be replayed", "3.10-ends", reopens(putInit, putUpdate, false)},
	{"a closed PUT session goes on", "3.10-close", ignoresClose(putInit)},
	{"closing an idle PUT session is an error", "3.10-close", closeOfIdleFails(putInit, putUpdate)},
	{"SELECT leaves PUT sessions", "3.10-select", func(w *wrong) { w.selects = func(int) {} }},
	{"a key without the right is put", "3.10-no-right", both(
		lie(iotsafe.PublicKey, "\x05", 0x60, 1), hide(iotsafe.PublicKey, "\x01", "an id of twenty byte", "\x08", "\x0F", "\x04", "\x09", "\x0B", "\x0C", "\x0D"))},
	{"a key that was put is not activated", "3.10-active", lie(iotsafe.PublicKey, "\x05", 0x4A, 0)},
	{"PUT keeps the first key", "3.10-read-back", func(w *wrong) {
		put := false
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == putUpdate && put {
				return apdu.Response{SW: apdu.OK}
			}
			put = put || c.INS == putUpdate
			return right(ch, c)
		})(w)
	}},
	{"PUT takes no labels", "3.10-label", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == putInit && len(c.Data) > 0 && c.Data[0] == 0x75 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"of key data in parts the last counts", "3.10-parts", dropsMore(putUpdate)},
	{"a container takes a point of any curve", "3.10-brainpool", onlyFor(putInit, "\x85\x01\x11", answers(putUpdate, apdu.WrongData, apdu.OK))},
	{"PUT answers the key", "3.10-put", after(putUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.OK {
			r.Data = c.Data
		}
		return r
	})},
	{"PUT of an unknown key answers 6985", "3.10-unknown", answers(putInit, apdu.NotFound, apdu.ConditionsNot)},
	{"P1 of PUT UPDATE is ignored", "3.10-parameters", ignoresP1(putUpdate, 0x80, 0x00)},
}

var verifyMutants = []mutant{
	{"VERIFY accepts everything", "3.14-edges", answers(verifyUpdate, apdu.SignatureMismatch, apdu.OK)},
	{"VERIFY of a wrong signature answers 6985", "3.14-own-bad", answers(verifyUpdate, apdu.SignatureMismatch, apdu.ConditionsNot)},
	{"VERIFY accepts nothing", "3.14-own", answers(verifyUpdate, apdu.OK, apdu.SignatureMismatch)},
	{"VERIFY ignores s", "3.14-own-bad", func(w *wrong) {
		good := map[string]bool{}
		after(verifyUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
			n := len(c.Data)
			if n < 64 {
				return r
			}
			seen := string(c.Data[:n-32]) // all but s
			if good[seen] = good[seen] || r.SW == apdu.OK; good[seen] {
				r.SW = apdu.OK
			}
			return r
		})(w)
		sign := w.process // a good signature is known from its making
		w.process = func(ch int, c apdu.Command) apdu.Response {
			r := sign(ch, c)
			if c.INS == signUpdate && r.SW == apdu.OK && len(r.Data) == 67 {
				good[string(slices.Concat(c.Data, []byte{0x33, 0, 0x40}, r.Data[3:35]))] = true
			}
			return r
		}
	}},
	{"VERIFY accepts r zero", "3.14-edges", acceptsSignature(func(r, _ []byte) bool { return bytes.Equal(r, make([]byte, 32)) })},
	{"VERIFY accepts s zero", "3.14-edges", acceptsSignature(func(_, s []byte) bool { return bytes.Equal(s, make([]byte, 32)) })},
	{"VERIFY accepts r and s exchanged", "3.14-edges", func(w *wrong) {
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS != verifyUpdate || len(c.Data) < 64 {
				return right(ch, c)
			}
			n := len(c.Data)
			exchanged := c
			exchanged.Data = slices.Concat(c.Data[:n-64], c.Data[n-32:], c.Data[n-64:n-32])
			return retried(ch, c, exchanged, right)
		})(w)
	}},
	{"VERIFY refuses an r with zeros in front", "3.14-leading-zeros", after(verifyUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if n := len(c.Data); n > 64 && c.Data[n-64] == 0 {
			r.SW = apdu.WrongData
		}
		return r
	})},
	{"PUT keeps nothing", "3.14-host-key", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == putUpdate {
			return apdu.Response{SW: apdu.OK}
		}
		return right(ch, c)
	})},
	{"VERIFY on brainpoolP256r1 accepts everything", "3.14-brainpool", onlyFor(verifyInit, "\x85\x01\x10", answers(verifyUpdate, apdu.SignatureMismatch, apdu.OK))},
	{"VERIFY refuses a high s", "3.14-high-s", after(verifyUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if n := len(c.Data); n > 32 && c.Data[n-32] >= 0x80 {
			r.SW = apdu.SignatureMismatch
		}
		return r
	})},
	{"tag 33 with one byte of length is refused", "3.14-lengths", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		r := right(ch, c)
		if c.INS == verifyUpdate && len(c.Data) == 34+66 {
			r.SW = apdu.WrongData
		}
		return r
	})},
	{"VERIFY can be replayed", "3.14-ends", reopens(verifyInit, verifyUpdate, true)},
	{"VERIFY works without INIT", "3.14-no-init", answers(verifyUpdate, apdu.ConditionsNot, apdu.SignatureMismatch)},
	{"VERIFY sessions are not closed", "3.14-close", ignoresClose(verifyInit)},
	{"SELECT leaves VERIFY sessions", "3.14-select", func(w *wrong) { w.selects = func(int) {} }},
	{"VERIFY with an unknown key answers 6A80", "3.14-unknown", answers(verifyInit, apdu.NotFound, apdu.WrongData)},
	{"a public key without the function verifies", "3.14-no-function", lie(iotsafe.PublicKey, "\x01", 0x61, 0x02)},
	{"a public key that is not activated verifies", "3.14-inactive", lie(iotsafe.PublicKey, "\x01", 0x4A, 0)},
	{"VERIFY needs no signature", "3.14-malformed", after(verifyUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.WrongData && len(c.Data) == 34 {
			r.SW = apdu.OK
		}
		return r
	})},
	{"VERIFY hashes the digest again", "3.14-rfc6979", before(verifyUpdate, func(c *apdu.Command) {
		if len(c.Data) > 34 && c.Data[0] == 0x9E && c.Data[1] == 32 {
			d := sha256.Sum256(c.Data[2:34])
			copy(c.Data[2:], d[:])
		}
	})},
	{"VERIFY keeps to the first key that was put", "3.14-replaced", func(w *wrong) {
		n := 0
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == putUpdate {
				if n++; n > 1 {
					return apdu.Response{SW: apdu.OK}
				}
			}
			return right(ch, c)
		})(w)
	}},
	{"VERIFY ignores the text in front", "3.14-full-text", dropsMore(verifyUpdate)},
	{"VERIFY refuses digests over 32 bytes", "3.14-longer-digests", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == verifyUpdate && len(c.Data) > 1 && c.Data[0] == 0x9E && c.Data[1] > 32 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"P1 of VERIFY UPDATE is ignored", "3.14-parameters", ignoresP1(verifyUpdate, 0x80, 0x00)},
}

// acceptsSignature accepts what has a certain r or s.
func acceptsSignature(has func(r, s []byte) bool) fault {
	return after(verifyUpdate, func(c apdu.Command, r apdu.Response) apdu.Response {
		if n := len(c.Data); n >= 64 && r.SW == apdu.SignatureMismatch && has(c.Data[n-64:n-32], c.Data[n-32:]) {
			r.SW = apdu.OK
		}
		return r
	})
}

// retried has the applet judge a second form of a signature if it refuses the first.
func retried(ch int, c, second apdu.Command, right handler) apdu.Response {
	r := right(ch, c)
	if r.SW != apdu.SignatureMismatch {
		return r
	}
	init := apdu.Command{CLA: c.CLA, INS: verifyInit, P2: c.P2, Data: []byte{0x85, 1, 5, 0xA1, 1, 3, 0x91, 2, 0, 1, 0x92, 1, 4}}
	right(ch, init)
	if again := right(ch, second); again.SW == apdu.OK {
		return again
	}
	return r
}

var agreementMutants = []mutant{
	{"leading zeros of a shared secret are lost", "3.11-leading-zero", data(computeDH, func(b []byte) []byte { return bytes.TrimLeft(b, "\x00") })},
	{"a shared secret comes with a tag", "3.11-host", data(computeDH, func(b []byte) []byte { return append([]byte{0xD4, 0x20}, b...) })},
	{"a shared secret comes hashed", "3.11-host", data(computeDH, func(b []byte) []byte { h := sha256.Sum256(b); return h[:] })},
	{"the same secret for every peer", "3.11-again", func(w *wrong) {
		var first []byte
		data(computeDH, func(b []byte) []byte {
			if first == nil {
				first = b
			}
			return first
		})(w)
	}},
	{"an empty container gives zeros", "3.11-empty", after(computeDH, func(_ apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.ConditionsNot {
			return apdu.Response{Data: make([]byte, 32), SW: apdu.OK}
		}
		return r
	})},
	{"a secret is computed with an invalid point", "3.11-invalid", func(w *wrong) {
		invalid := false
		after(putUpdate, func(_ apdu.Command, r apdu.Response) apdu.Response {
			invalid = r.SW == apdu.WrongData
			return apdu.Response{SW: apdu.OK}
		})(w)
		data(computeDH, func(b []byte) []byte {
			if invalid {
				b[5] ^= 0x10
			}
			return b
		})(w)
	}},
	{"a private key without the function agrees", "3.11-no-function", both(
		lie(iotsafe.PrivateKey, "\x09", 0x61, 0), hide(iotsafe.PrivateKey, "\x01", "an id of twenty byte", "\x08", "\x0F"))},
	{"a public key without the function is agreed with", "3.11-no-function-public", both(
		lie(iotsafe.PublicKey, "\x09", 0x61, 0), hide(iotsafe.PublicKey, "\x01", "an id of twenty byte", "\x08", "\x0F"))},
	{"on brainpoolP256r1 the secret is byte-swapped", "3.11-brainpool", after(computeDH, func(c apdu.Command, r apdu.Response) apdu.Response {
		if bytes.HasPrefix(c.Data, []byte{0x84, 1, 0x10}) {
			slices.Reverse(r.Data)
		}
		return r
	})},
	{"keys on different curves agree on zeros", "3.11-brainpool-mixed", after(computeDH, func(c apdu.Command, r apdu.Response) apdu.Response {
		if bytes.HasPrefix(c.Data, []byte{0x84, 1, 0x10, 0x85, 1, 5}) && r.SW != apdu.OK {
			return apdu.Response{Data: make([]byte, 32), SW: apdu.OK}
		}
		return r
	})},
	{"COMPUTE DH wants the private key first", "3.11-any-order", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == computeDH && len(c.Data) > 0 && c.Data[0] == 0x85 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"COMPUTE DH ignores P2", "3.11-parameters", ignoresP2(computeDH)},
	{"an unknown key of COMPUTE DH answers 6985", "3.11-unknown", answers(computeDH, apdu.NotFound, apdu.ConditionsNot)},
	{"COMPUTE DH knows the peer without a name", "3.11-malformed", before(computeDH, func(c *apdu.Command) {
		if len(c.Data) == 3 && c.Data[0] == 0x84 {
			c.Data = append(c.Data, 0x85, 1, 5)
		}
	})},
	{"SELECT forgets keys for agreement", "3.11-select", func(w *wrong) {
		gone := false
		selects := w.selects
		w.selects = func(ch int) { gone = true; selects(ch) }
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == putUpdate {
				gone = false
			}
			if c.INS == computeDH && gone {
				return apdu.Response{SW: apdu.ConditionsNot}
			}
			return right(ch, c)
		})(w)
	}},
	{"a fresh pair agrees with its old key", "3.11-fresh-key", func(w *wrong) {
		var first []byte
		data(computeDH, func(b []byte) []byte {
			if first == nil {
				first = b
			}
			return first
		})(w)
	}},
}
