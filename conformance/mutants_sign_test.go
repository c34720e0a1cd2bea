package conformance_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// signatures changes r and s of ECDSA signatures.
func signatures(change func(rs []byte) []byte) fault {
	return data(signUpdate, func(b []byte) []byte {
		if n := len(b); n == 66 || n == 67 {
			return append(b[:n-64:n-64], change(b[n-64:])...)
		}
		return b
	})
}

var signMutants = []mutant{
	{"zeros in front of r are left out", "3.13-padding", whenZero(0, func(rs []byte) []byte { return rs[1:] })},
	{"zeros in front of s stand behind it", "3.13-padding", whenZero(32, func(rs []byte) []byte {
		return slices.Concat(rs[:32], rs[33:], []byte{0})
	})},
	{"a signature is DER", "3.13-sign-digest", data(signUpdate, func(b []byte) []byte {
		if len(b) != 67 {
			return b
		}
		der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(b[3:35]), new(big.Int).SetBytes(b[35:])})
		if err != nil {
			panic(err)
		}
		return append([]byte{0x33, 0, byte(len(der))}, der...)
	})},
	{"s comes before r", "3.13-sign-digest", signatures(func(b []byte) []byte { return slices.Concat(b[32:], b[:32]) })},
	{"a signature has no tag", "3.13-sign-digest", data(signUpdate, func(b []byte) []byte { return b[len(b)-64:] })},
	{"the digest is hashed again", "3.13-sign-digest", digests(func(d []byte) []byte { h := sha256.Sum256(d); return h[:] })},
	{"the digest is byte-swapped", "3.13-sign-digest", digests(func(d []byte) []byte { slices.Reverse(d); return d })},
	{"the length of tag 33 is in BER form", "3.13-length-form", data(signUpdate, func(b []byte) []byte {
		if len(b) == 67 {
			b[1] = 0x81
		}
		return b
	})},
	{"the length forms of tag 33 are exchanged", "3.13-length-form", data(signUpdate, func(b []byte) []byte {
		switch len(b) {
		case 67:
			return append([]byte{0x33, 0x40}, b[3:]...)
		case 66:
			return append([]byte{0x33, 0, 0x40}, b[2:]...)
		}
		return b
	})},
	{"INIT answers data", "3.13-init-silent", after(signInit, func(_ apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.OK {
			r.Data = []byte{0}
		}
		return r
	})},
	{"INIT takes no labels", "3.13-label", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signInit && len(c.Data) > 0 && c.Data[0] == 0x74 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"one key signs for all", "3.13-every-key", before(signInit, func(c *apdu.Command) {
		if c.P1 == 0 && len(c.Data) > 22 && c.Data[0] == 0x84 && c.Data[1] == 20 {
			c.Data = slices.Concat([]byte{0x84, 1, 1}, c.Data[22:])
		}
	})},
	{"digests over 32 bytes are refused", "3.13-longer-digests", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signUpdate && len(c.Data) > 1 && c.Data[0] == 0x9E && c.Data[1] > 32 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"of longer digests the right end counts", "3.13-longer-digests", digests(func(d []byte) []byte { return d[max(0, len(d)-32):] })},
	{"a digest of zeros is refused", "3.13-zero-digest", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signUpdate && bytes.Equal(c.Data[min(2, len(c.Data)):], make([]byte, 32)) {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"every signature has the same nonce", "3.13-nonces", func(w *wrong) {
		var digest []byte
		digests(func(d []byte) []byte { digest = d; return d })(w)
		d := new(big.Int)
		for _, c := range w.State().Objects {
			if c.Object.Kind == iotsafe.PrivateKey && c.Object.ID == "\x01" {
				d.SetBytes(c.Content)
			}
		}
		signatures(func([]byte) []byte { return signWithOneNonce(d, digest) })(w)
	}},
	{"short texts are filled up with zeros", "3.13-full-text", before(signUpdate, func(c *apdu.Command) {
		if len(c.Data) == 5 && c.Data[0] == 0x9B {
			c.Data = slices.Concat([]byte{0x9B, 16}, c.Data[2:], make([]byte, 13))
		}
	})},
	{"a length of two bytes in BER form is refused", "3.13-full-text-82", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signUpdate && bytes.HasPrefix(c.Data, []byte{0x9B, 0x82}) {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"mode 02 continues SHA-256 for SHA-384", "3.13-last-block-sha384", hashFor(signInit, 2, 1)},
	{"mode 02 continues SHA-256 for SHA-512", "3.13-last-block-sha512", hashFor(signInit, 4, 1)},
	{"mode 02 continues SHA-384 for SHA-512", "3.13-last-block-sha512", hashFor(signInit, 4, 2)},
	{"on brainpoolP256r1 s comes before r", "3.13-brainpool", onlyFor(signInit, "\x84\x01\x10",
		signatures(func(b []byte) []byte { return slices.Concat(b[32:], b[:32]) }))},
	{"a text of three-byte length is refused", "3.13-full-text-3", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signUpdate && len(c.Data) > 4 && c.Data[0] == 0x9B && c.Data[1] == 0 && c.Data[2] == 0 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"a length in BER form is a part of the text", "3.13-full-text-81", before(signUpdate, func(c *apdu.Command) {
		if len(c.Data) > 3 && c.Data[0] == 0x9B && c.Data[1] == 0x81 && int(c.Data[2]) == len(c.Data)-3 {
			c.Data = slices.Concat([]byte{0x9B, 0x81, c.Data[2] + 1}, c.Data[2:])
		}
	})},
	{"only the last UPDATE is hashed", "3.13-updates-repeated", dropsMore(signUpdate)},
	{"later UPDATEs must have a tag", "3.13-updates-total", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signUpdate && len(c.Data) > 0 && c.Data[0] != 0x9B && c.Data[0] != 0x9E && c.Data[0] != 0x9A {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"SHA-256 is used for SHA-384", "3.13-full-text-sha384", hashFor(signInit, 2, 1)},
	{"SHA-384 is used for SHA-512", "3.13-full-text-sha512", hashFor(signInit, 4, 2)},
	{"texts of 56 to 63 bytes get one block too few", "3.13-full-text-sizes", before(signUpdate, func(c *apdu.Command) {
		if n := len(c.Data) - 2; n >= 56 && n < 64 && c.Data[0] == 0x9B {
			c.Data = slices.Concat([]byte{0x9B, byte(n - 1)}, c.Data[2:n+1])
		}
	})},
	{"the count of bytes hashed before is ignored", "3.13-last-block", before(signUpdate, func(c *apdu.Command) {
		if n := len(c.Data); n > 6 && c.Data[n-6] == 0x9D {
			c.Data[n-2], c.Data[n-1] = 0, 64
		}
	})},
	{"the count of bytes may be anything", "3.13-last-block-bad", before(signUpdate, func(c *apdu.Command) {
		if n := len(c.Data); n > 6 && c.Data[n-6] == 0x9D {
			c.Data[n-1] &^= 63
		}
	})},
	{"an unknown key answers 6A80", "3.13-unknown", answers(signInit, apdu.NotFound, apdu.WrongData)},
	{"a key that is not activated signs", "3.13-inactive", lie(iotsafe.PrivateKey, "\x01", 0x4A, 0)},
	{"a key without the function signs", "3.13-no-function", lie(iotsafe.PrivateKey, "\x01", 0x61, 0x02)},
	{"a key signs with a hash that it does not have", "3.13-other-hash", lie(iotsafe.PrivateKey, "\x01", 0x91, 0, 1)},
	{"the usage of keys is decoration", "3.13-tls13-only", lie(iotsafe.PrivateKey, "\x01", 0x4E, 3)},
	{"keys of TLS 1.3 sign nothing at all", "3.13-tls13-key", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signInit && bytes.HasPrefix(c.Data, []byte{0x84, 1, 8}) {
			return apdu.Response{SW: apdu.ConditionsNot}
		}
		return right(ch, c)
	})},
	{"the usage for TLS 1.2 is decoration", "3.13-tls12-only", both(
		lie(iotsafe.PrivateKey, "\x01", 0x4E, 2), hide(iotsafe.PrivateKey, "\x0F"))},
	{"keys of TLS 1.2 sign only the first part of a handshake", "3.13-tls12-key", onlyFor(signInit, "\x84\x01\x0F", dropsMore(signUpdate))},
	{"an unknown mode means the third", "3.13-unknown-mode", before(signInit, func(c *apdu.Command) {
		if i := bytes.Index(c.Data, []byte{0xA1, 1}); i >= 0 && i+2 < len(c.Data) && c.Data[i+2] > 3 {
			c.Data[i+2] = 3
		}
	})},
	{"the algorithm is ignored", "3.13-rsa-with-ec-key", before(signInit, func(c *apdu.Command) {
		if i := bytes.Index(c.Data, []byte{0x92, 1}); i >= 0 && i+2 < len(c.Data) && c.Data[2] != 0x0E {
			c.Data[i+2] = 4
		}
	})},
	{"an empty digest is signed", "3.13-malformed-update", digests(func(d []byte) []byte {
		if len(d) == 0 {
			return make([]byte, 32)
		}
		return d
	})},
	{"INIT needs no algorithm", "3.13-malformed-init", before(signInit, func(c *apdu.Command) {
		if c.P1 == 0 && !bytes.Contains(c.Data, []byte{0x92, 1}) && bytes.HasSuffix(c.Data, []byte{0x91, 2, 0, 1}) {
			c.Data = append(c.Data, 0x92, 1, 4)
		}
	})},
	{"a digest is signed in mode 01 too", "3.13-malformed-text", func(w *wrong) {
		full := false
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == signInit && c.P1 == 0 {
				full = bytes.Contains(c.Data, []byte{0xA1, 1, 1})
			}
			if c.INS == signUpdate && full && len(c.Data) > 0 && c.Data[0] == 0x9E {
				c.Data = append([]byte{0x9B}, c.Data[1:]...)
			}
			return right(ch, c)
		})(w)
	}},
	{"P1 of UPDATE is ignored", "3.13-parameters", ignoresP1(signUpdate, 0x80, 0x00)},
	{"P1 of INIT is ignored", "3.13-parameters", ignoresP1(signInit, 0x00, 0x01)},
}

// digests changes the digest that is to be signed.
func digests(change func(d []byte) []byte) fault {
	return before(signUpdate, func(c *apdu.Command) {
		if len(c.Data) >= 2 && c.Data[0] == 0x9E && int(c.Data[1]) == len(c.Data)-2 {
			d := change(c.Data[2:])
			c.Data = append([]byte{0x9E, byte(len(d))}, d...)
		}
	})
}

// hashFor puts one hash algorithm in the place of another at INIT.
func hashFor(ins, asked, used byte) fault {
	return before(ins, func(c *apdu.Command) {
		if i := bytes.Index(c.Data, []byte{0x91, 2, 0, asked}); i >= 0 {
			c.Data[i+3] = used
		}
	})
}

// dropsMore forgets the text of every UPDATE but the last.
func dropsMore(ins byte) fault {
	return around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == ins && c.P1 == 0 {
			return apdu.Response{SW: apdu.OK}
		}
		return right(ch, c)
	})
}

// whenZero changes signatures whose r (at 0) or s (at 32) begins with a zero. One in 256
// does; so that a test does not have to wait for one, every signature is made so.
func whenZero(at int, change func(rs []byte) []byte) fault {
	var init apdu.Command
	return around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signInit && c.P1 == 0 {
			init = c
		}
		r := right(ch, c)
		if c.INS != signUpdate {
			return r
		}
		for len(r.Data) == 67 && r.Data[3+at] != 0 {
			right(ch, init)
			r = right(ch, c)
		}
		if len(r.Data) == 67 {
			r.Data = append(r.Data[:3:3], change(r.Data[3:])...)
		}
		return r
	})
}

// signWithOneNonce is ECDSA as it must not be done.
func signWithOneNonce(d *big.Int, digest []byte) []byte {
	n := elliptic.P256().Params().N
	k := bytes.Repeat([]byte{0x5A}, 32)
	nonce, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k)
	if err != nil {
		panic(err)
	}
	point, err := nonce.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	r := new(big.Int).Mod(new(big.Int).SetBytes(point[1:33]), n)
	s := new(big.Int).Mul(r, d)
	s.Add(s, new(big.Int).SetBytes(digest[:32]))
	s.Mul(s, new(big.Int).ModInverse(new(big.Int).SetBytes(k), n)).Mod(s, n)
	b := make([]byte, 64)
	r.FillBytes(b[:32])
	s.FillBytes(b[32:])
	return b
}

// session is a session as a fault remembers it.
type session struct {
	ch     int
	number byte
}

// reopens makes a session go on behind its last UPDATE; after a failed one only if so said.
func reopens(init, update byte, failed bool) fault {
	return func(w *wrong) {
		inits := map[session]apdu.Command{}
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			r := right(ch, c)
			at := session{ch, c.P2}
			switch {
			case c.INS == init && c.P1 == 0 && r.SW == apdu.OK:
				inits[at] = c
			case c.INS == init:
				delete(inits, at)
			case c.INS == update:
				if i, open := inits[at]; open && (failed || r.SW == apdu.OK) {
					right(ch, i)
				}
			}
			return r
		})(w)
	}
}

// ignoresClose answers a close and does not do it.
func ignoresClose(init byte) fault {
	return around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == init && c.P1 == 1 {
			return apdu.Response{SW: apdu.OK}
		}
		return right(ch, c)
	})
}

// closeOfIdleFails makes closing a session that is not open an error.
func closeOfIdleFails(init, update byte) fault {
	return func(w *wrong) {
		open := map[session]bool{}
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			r, at := right(ch, c), session{ch, c.P2}
			switch {
			case c.INS == init && c.P1 == 1:
				was := open[at]
				if delete(open, at); !was {
					return apdu.Response{SW: apdu.ConditionsNot}
				}
			case c.INS == init && c.P1 == 0:
				open[at] = r.SW == apdu.OK
			case c.INS == update:
				delete(open, at)
			}
			return r
		})(w)
	}
}

var sessionMutants = []mutant{
	{"UPDATE needs no INIT", "3.17-no-init", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		r := right(ch, c)
		if c.INS == signUpdate && c.P1 == 0x80 && r.SW == apdu.ConditionsNot {
			right(ch, apdu.Command{CLA: c.CLA, INS: signInit, P2: c.P2, Data: []byte{0x84, 1, 1, 0xA1, 1, 3, 0x91, 2, 0, 1, 0x92, 1, 4}})
			return right(ch, c)
		}
		return r
	})},
	{"UPDATE without INIT answers 6A88", "3.17-no-init", answers(signUpdate, apdu.ConditionsNot, apdu.ReferenceNotFound)},
	{"session numbers over 03 are refused", "3.17-numbers", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signInit && c.P2 > 3 {
			return apdu.Response{SW: apdu.WrongP1P2}
		}
		return right(ch, c)
	})},
	{"session numbers are ignored", "3.17-other-number", both(ignoresP2(signInit), ignoresP2(signUpdate))},
	{"the last UPDATE does not end the session", "3.17-ends", reopens(signInit, signUpdate, false)},
	{"a failed UPDATE does not end the session", "3.17-failed-ends", reopens(signInit, signUpdate, true)},
	{"a close is ignored", "3.17-close", ignoresClose(signInit)},
	{"a close with Le is refused", "3.17-close", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == signInit && c.P1 == 1 && c.Le > 0 {
			return apdu.Response{SW: apdu.WrongLength}
		}
		return right(ch, c)
	})},
	{"a close closes all sessions", "3.17-close-other", func(w *wrong) {
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == signInit && c.P1 == 1 {
				w.Applet.Deselect(ch)
			}
			return right(ch, c)
		})(w)
	}},
	{"closing an idle session is an error", "3.17-close-idle", closeOfIdleFails(signInit, signUpdate)},
	{"INIT on a session in use is refused", "3.17-restart", func(w *wrong) {
		open := map[session]bool{}
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			at := session{ch, c.P2}
			if c.INS == signInit && c.P1 == 0 && open[at] {
				return apdu.Response{SW: apdu.ConditionsNot}
			}
			if c.INS == signUpdate || c.INS == signInit {
				open[at] = c.INS == signInit && c.P1 == 0
			}
			return right(ch, c)
		})(w)
	}},
	{"INIT on a session in use keeps the text", "3.17-restart-drops-text", func(w *wrong) {
		text := false
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == signInit && c.P1 == 0 && text {
				text = false
				return apdu.Response{SW: apdu.OK}
			}
			text = c.INS == signUpdate && c.P1 == 0
			return right(ch, c)
		})(w)
	}},
	{"sessions share their text", "3.17-two", before(signUpdate, func(c *apdu.Command) {
		if c.P1 == 0 {
			c.P2 = 0
		}
	})},
	{"sessions share their mode", "3.17-two-modes", func(w *wrong) {
		mode := byte(3)
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if i := bytes.Index(c.Data, []byte{0xA1, 1}); c.INS == signInit && i >= 0 {
				mode = c.Data[i+2]
			}
			if c.INS == signUpdate && len(c.Data) > 0 && (mode == 1) != (c.Data[0] == 0x9B) {
				return apdu.Response{SW: apdu.WrongData}
			}
			return right(ch, c)
		})(w)
	}},
	{"sessions share their key", "3.17-two-keys", func(w *wrong) {
		var last apdu.Command
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == signInit && c.P1 == 0 {
				last = c
			}
			if c.INS == signUpdate && last.INS != 0 {
				last.P2 = c.P2
				right(ch, last)
			}
			return right(ch, c)
		})(w)
	}},
	{"one session more than it says", "3.17-limit", info(func(b []byte) []byte { b[len(b)-1]--; return b })},
	{"one session less than it says", "3.17-limit", info(func(b []byte) []byte { b[len(b)-1]++; return b })},
	{"no free session answers 6985", "3.17-limit", answers(signInit, apdu.RemoteAdminTouched, apdu.ConditionsNot)},
	{"SELECT leaves the sessions", "3.17-select", func(w *wrong) { w.selects = func(int) {} }},
	{"SELECT forgets sessions and keeps their places", "3.17-select-frees", func(w *wrong) {
		opened := 0
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == signInit && c.P1 == 0 {
				if opened++; opened > 8 {
					return apdu.Response{SW: apdu.RemoteAdminTouched}
				}
			}
			return right(ch, c)
		})(w)
	}},
	{"sessions are shared by channels", "3.17-channels", func(w *wrong) {
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == signInit || c.INS == signUpdate {
				ch = 0
			}
			return right(ch, c)
		})(w)
	}},
	{"closing a channel leaves its sessions", "3.17-channel-closed", func(w *wrong) {
		w.deselect = func(int) {}
		// And a channel that is opened anew has other sessions than before.
		around(func(ch int, c apdu.Command, right handler) apdu.Response { return right(ch, c) })(w)
		n := byte(0)
		before(signInit, func(c *apdu.Command) {
			if c.P1 == 0 {
				n++
				c.P2 = n
			}
		})(w)
		w.selects = func(int) {}
	}},
	{"other commands end sessions", "3.17-other-commands", func(w *wrong) {
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == getRandom {
				w.Applet.Deselect(ch)
			}
			return right(ch, c)
		})(w)
	}},
	{"signing and verifying share their numbers", "3.17-spaces", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == verifyInit && c.P1 == 0 {
			right(ch, apdu.Command{CLA: c.CLA, INS: signInit, P1: 1, P2: c.P2})
		}
		return right(ch, c)
	})},
	{"VERIFY UPDATE without its INIT answers 6D01", "3.17-spaces-apart", answers(verifyUpdate, apdu.ConditionsNot, apdu.SignatureMismatch)},
}
