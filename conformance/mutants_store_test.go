package conformance_test

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

var cardMutants = []mutant{
	{"SELECT refuses Le", "1.1-select-le", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0xA4 && len(c) > 5 && len(c) == 6+int(c[4]) {
			return []byte{0x67, 0x00}
		}
		return pass(c)
	})},
	{"SELECT takes any AID", "1.1-select-unknown", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0xA4 && len(c) > 5 && c[5] == 0xF0 {
			c = append([]byte{c[0], 0xA4, 4, 0, 7}, iotsafe.AIDs[0]...)
		}
		return pass(c)
	})},
	{"SELECT ignores the end of an AID", "1.1-select-longer", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0xA4 && len(c) > 12 && bytes.HasPrefix(c[5:], iotsafe.AIDs[0]) {
			c = append([]byte{c[0], 0xA4, 4, 0, 7}, iotsafe.AIDs[0]...)
		}
		return pass(c)
	})},
	{"a SELECT that fails deselects", "1.1-select-failed", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		r := pass(c)
		if c[1] == 0xA4 && r[0] == 0x6A {
			pass([]byte{c[0], 0xA4, 0x00, 0x0C, 2, 0x3F, 0x00})
		}
		return r
	})},
	{"SELECT works every other time", "1.1-select-again", func(w *wrong) {
		n := 0
		w.card = func(c []byte, pass func([]byte) []byte) []byte {
			if c[1] == 0xA4 {
				if n++; n > 2 && n%2 == 0 {
					return []byte{0x69, 0x85}
				}
			}
			return pass(c)
		}
	}},
	{"closing a channel closes all", "1.2-two", func(w *wrong) {
		closed := false
		w.card = func(c []byte, pass func([]byte) []byte) []byte {
			switch {
			case c[1] == 0x70 && c[2] == 0x80:
				closed = true
			case c[1] == 0xA4:
				closed = false
			case closed:
				return []byte{0x68, 0x81}
			}
			return pass(c)
		}
	}},
	{"SELECT answers data", "1.1-select", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0xA4 {
			return append([]byte{0x6F, 0x00}, pass(c)...)
		}
		return pass(c)
	})},
	{"closing an idle channel answers 9000", "1.2-close-idle", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if r := pass(c); c[1] != 0x70 || c[2] != 0x80 {
			return r
		}
		return []byte{0x90, 0x00}
	})},
	{"channels are never closed", "1.2-closed", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0x70 && c[2] == 0x80 {
			return []byte{0x90, 0x00}
		}
		return pass(c)
	})},
	{"the same channel is handed out again", "1.2-open", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if r := pass(c); c[1] != 0x70 || c[2] != 0x00 {
			return r
		}
		return []byte{0x01, 0x90, 0x00}
	})},
	{"MANAGE CHANNEL refuses Le 00", "1.2-open", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0x70 && c[2] == 0 && c[4] == 0 {
			return []byte{0x6C, 0x01}
		}
		return pass(c)
	})},
	{"a channel cannot be closed from itself", "1.2-close", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == 0x70 && c[2] == 0x80 && c[0] != 0 {
			return []byte{0x69, 0x85}
		}
		return pass(c)
	})},
	{"SELECT does not open a channel", "1.2-select-opens", func(w *wrong) {
		open := map[byte]bool{0: true}
		w.card = func(c []byte, pass func([]byte) []byte) []byte {
			if c[1] == 0xA4 && !open[c[0]&3] {
				return []byte{0x68, 0x81}
			}
			r := pass(c)
			if c[1] == 0x70 && r[len(r)-2] == 0x90 {
				if c[2] == 0 {
					open[r[0]] = true
				} else {
					open[c[3]] = false
				}
			}
			return r
		}
	}},
	{"a new channel has the applet selected", "1.2-open-fresh", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		r := pass(c)
		if c[1] == 0x70 && c[2] == 0 && len(r) == 3 {
			pass(append([]byte{r[0], 0xA4, 4, 0, 7}, iotsafe.AIDs[0]...))
		}
		if c[1] == readKey { // and knows the key that is asked for
			return []byte{0x61, 0x47}
		}
		return r
	})},
	{"class 0n is refused", "1.3-both", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.CLA&0x80 == 0 {
			return apdu.Response{SW: apdu.ClassNot}
		}
		return right(ch, c)
	})},
	{"the upper bits of the class are ignored", "1.3-unknown", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		c = bytes.Clone(c)
		c[0] &= 0x83
		return pass(c)
	})},
}

var applicationMutants = append(tagMutants(), []mutant{
	{"the identifier has 31 bytes", "3.3-tag-11", info(func(b []byte) []byte { return slices.Concat([]byte{0x10, 1, 1, 0x11, 31}, b[6:]) })},
	{"the hash mask has one byte", "3.3-tag-91", info(func(b []byte) []byte {
		return bytes.Replace(b, []byte{0x91, 2, 0}, []byte{0x91, 1}, 1)
	})},
	{"the application information has 67 bytes", "3.3-length", info(func(b []byte) []byte { return b[:len(b)-1] })},
	{"B7 comes before 90", "3.3-order", info(func(b []byte) []byte {
		n := len(b) - 3
		return slices.Concat(b[:49], b[n:], b[49:n])
	})},
	{"B7 is missing", "3.3-tag-b7", info(func(b []byte) []byte { return b[:len(b)-3] })},
	{"the version is missing", "3.3-tag-10", info(func(b []byte) []byte { return b[3:] })},
	{"masks have bits without a meaning", "3.3-masks", info(func(b []byte) []byte { return bytes.Replace(b, []byte{0x93, 1, 1}, []byte{0x93, 1, 0x41}, 1) })},
	{"fewer secret keys are said to be possible than there are", "3.3-maxima", info(func(b []byte) []byte { b[48] = 1; return b })},
	{"keys derive what the application does not", "3.3-functions", info(func(b []byte) []byte { return bytes.Replace(b, []byte{0x94, 1, 3}, []byte{0x94, 1, 1}, 1) })},
	{"signatures without an algorithm", "3.3-consistent", info(func(b []byte) []byte {
		b[len(b)-10] = 0
		return b
	})},
	{"signs although it says that it does not", "3.3-type2", info(func(b []byte) []byte {
		i := bytes.Index(b, []byte{0x90, 1})
		b[i+2] = 0
		return b
	})},
}...)

// tagMutants have one tag of the application information too long.
func tagMutants() (all []mutant) {
	for _, tag := range []byte{0xB1, 0xB2, 0xB3, 0xB4, 0x90, 0x92, 0x93, 0x94} {
		all = append(all, mutant{
			fmt.Sprintf("tag %02X has two bytes", tag), fmt.Sprintf("3.3-tag-%02x", tag),
			info(func(b []byte) []byte {
				fields, _ := tlvs(b)
				for i, f := range fields {
					if f[0] == tag {
						fields[i] = []byte{tag, 2, 0, f[2]}
					}
				}
				return slices.Concat(fields...)
			}),
		})
	}
	return all
}

var listMutants = []mutant{
	{"files come before secret keys", "3.4-order", list(func(e []byte) []byte {
		if e[0] == 0xC4 {
			e[0] = 0xC3
		} else if e[0] == 0xC3 {
			e[0] = 0xC4
		}
		return e
	})},
	{"secret keys are missing in the list", "3.4-complete", list(func(e []byte) []byte {
		if e[0] == 0xC4 {
			return nil
		}
		return e
	})},
	{"the flag for more data is lost", "3.4-complete", answersWithData(getData, apdu.MoreData, apdu.OK)},
	{"parts of the list end within objects", "3.4-parts", func(w *wrong) {
		var rest []byte
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS != getData || c.P1 != 1 {
				return right(ch, c)
			}
			if c.P2 == 0 {
				rest = wholeList(ch, c, right)
			}
			n := min(200, len(rest))
			r := apdu.Response{Data: rest[:n], SW: apdu.MoreData}
			if rest = rest[n:]; len(rest) == 0 {
				r.SW = apdu.OK
			}
			return r
		})(w)
	}},
	{"a part of the list has 256 bytes", "3.4-parts", after(getData, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.P1 == 1 && r.SW == apdu.MoreData {
			pad := make([]byte, 254-len(r.Data))
			r.Data = append(r.Data, 0xC3, byte(len(pad)))
			r.Data = append(r.Data, pad...)
		}
		return r
	})},
	{"an unknown tag stands in the list", "3.4-form", after(getData, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.P1 == 1 && r.SW == apdu.OK {
			r.Data = append(r.Data, 0xE0, 0x00)
		}
		return r
	})},
	{"objects are listed twice", "3.4-unique", list(func(e []byte) []byte { return append(e, e...) })},
	{"several keys stand in one C1", "3.4-one-object", list(func(e []byte) []byte {
		if names(e, iotsafe.PrivateKey, "\x01") {
			e = append(e, e[2:]...)
			e[1] = byte(len(e) - 2)
		}
		return e
	})},
	{"the next part begins the list", "3.4-no-more", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		r := right(ch, c)
		if c.INS == getData && c.P1 == 1 && c.P2 == 1 && r.SW == apdu.ConditionsNot {
			c.P2 = 0
			return right(ch, c)
		}
		return r
	})},
	{"the list cannot be asked for again before its end", "3.4-again", func(w *wrong) {
		more := false
		around(func(ch int, c apdu.Command, right handler) apdu.Response {
			if c.INS == getData && c.P1 == 1 {
				if c.P2 == 0 && more {
					c.P2 = 1
				}
				r := right(ch, c)
				more = r.SW == apdu.MoreData
				return r
			}
			return right(ch, c)
		})(w)
	}},
	{"a label has 61 bytes", "2.1-identifiers", list(func(e []byte) []byte {
		if names(e, iotsafe.File, "\x02") {
			return replace(e, 0x73, bytes.Repeat([]byte{'x'}, 61))
		}
		return e
	})},
	{"the usage of a file comes before its size", "2.3-order", entries(func(e []byte) []byte {
		if e[0] == 0xC3 {
			n := len(e)
			e = slices.Concat(e[:n-7], e[n-3:], e[n-7:n-3])
		}
		return e
	})},
	{"secret keys have a usage", "2.3-order", entries(func(e []byte) []byte {
		if e[0] == 0xC4 {
			e = append(e, 0x4E, 1, 1)
			e[1] += 3
		}
		return e
	})},
	{"the state is missing", "2.3-order", entries(func(e []byte) []byte { return replace(e, 0x4A, nil) })},
	{"an activated object has state 05", "2.2-values", entries(func(e []byte) []byte { return replace(e, 0x4A, []byte{5}) })},
	{"the hash mask of keys has one byte", "2.2-lengths", entries(func(e []byte) []byte { return replace(e, 0x91, []byte{7}) })},
}

// answersWithData is answers for a status word that comes with data.
func answersWithData(ins byte, from, to apdu.SW) fault {
	return after(ins, func(_ apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == from {
			r.SW = to
		}
		return r
	})
}

// wholeList reads all parts of the list.
func wholeList(ch int, c apdu.Command, right handler) (all []byte) {
	for {
		r := right(ch, c)
		all = append(all, r.Data...)
		if r.SW != apdu.MoreData {
			return all
		}
		c.P2 = 1
	}
}

// named makes a fault of how GET DATA reads the name of an object.
func named(change func(kind byte, name []byte) []byte) fault {
	return before(getData, func(c *apdu.Command) {
		if c.P1 >= 0xC1 && c.P1 <= 0xC4 {
			c.Data = change(c.P1, c.Data)
		}
	})
}

var objectMutants = []mutant{
	{"one object has no wrapper", "3.5-wrapper", after(getData, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.P1 > 1 && len(r.Data) > 2 {
			r.Data = r.Data[2:]
		}
		return r
	})},
	{"one object is described otherwise than in the list", "3.5-as-listed", list(func(e []byte) []byte {
		if names(e, iotsafe.File, "\x02") {
			return replace(e, 0x20, []byte{0, 1})
		}
		return e
	})},
	{"labels are not taken", "3.5-label", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == getData && len(c.Data) > 0 && c.Data[0] < 0x80 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"an unknown identifier answers 6A88", "3.5-unknown-id", answers(getData, apdu.NotFound, apdu.ReferenceNotFound)},
	{"an unknown label answers 6A80", "3.5-unknown-label", after(getData, func(c apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.NotFound && c.Data[0] < 0x80 {
			r.SW = apdu.WrongData
		}
		return r
	})},
	{"identifiers count to 8 bytes", "3.5-similar-id", named(func(_ byte, name []byte) []byte {
		const long = "an id of twenty byte"
		if len(name) > 10 && bytes.HasPrefix(name[2:], []byte(long)[:8]) {
			return append([]byte{name[0], 20}, long...)
		}
		return name
	})},
	{"identifiers are numbers: zeros in front do not count", "3.5-similar-id", named(func(_ byte, name []byte) []byte {
		if len(name) > 3 && name[0] >= 0x83 && name[2] == 0 {
			return append([]byte{name[0], name[1] - 1}, name[3:]...)
		}
		return name
	})},
	{"the top bit of identifiers is ignored", "3.5-similar-id", named(func(_ byte, name []byte) []byte {
		if len(name) == 3 {
			name[2] &= 0x7F
		}
		return name
	})},
	{"an identifier of any kind will do", "3.5-kinds-apart", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		r := right(ch, c)
		if c.INS != getData || r.SW != apdu.NotFound || len(c.Data) == 0 || c.Data[0] < 0x80 {
			return r
		}
		for _, kind := range iotsafe.Kinds {
			c.Data = append([]byte{kind.IDTag()}, c.Data[1:]...)
			c.P1 = byte(kind)
			if found := right(ch, c); found.SW == apdu.OK {
				return found
			}
		}
		return r
	})},
	{"identifiers over 8 bytes are not found", "3.5-id-of-20", named(func(_ byte, name []byte) []byte {
		if len(name) > 10 && name[0] >= 0x80 {
			return append([]byte{name[0], 8}, name[2:10]...)
		}
		return name
	})},
	{"an identifier of 21 bytes is only unknown", "3.5-id-of-21", named(func(_ byte, name []byte) []byte {
		if len(name) == 23 {
			return append([]byte{name[0], 20}, name[2:22]...)
		}
		return name
	})},
	{"an empty identifier is only unknown", "3.5-empty-id", named(func(_ byte, name []byte) []byte {
		if len(name) == 2 {
			return []byte{name[0], 1, 0x77}
		}
		return name
	})},
	{"without a name the first object is meant", "3.5-no-name", named(func(kind byte, name []byte) []byte {
		if len(name) == 0 {
			return []byte{iotsafe.Kind(kind).IDTag(), 1, 0x01}
		}
		return name
	})},
	{"the tag of the name is ignored", "3.5-other-tag", named(func(kind byte, name []byte) []byte {
		if len(name) > 0 && name[0] >= 0x80 {
			name[0] = iotsafe.Kind(kind).IDTag()
		}
		return name
	})},
	{"a length beyond the data is cut", "3.5-cut", named(func(_ byte, name []byte) []byte {
		if len(name) > 2 {
			name[1] = byte(len(name) - 2)
		}
		return name
	})},
	{"labels are compared by their beginning", "3.5-similar-label", named(func(kind byte, name []byte) []byte {
		if kind == 0xC3 && name[0] == 0x73 && bytes.HasPrefix([]byte("certificate"), name[2:]) {
			return append([]byte{0x73, 11}, "certificate"...)
		}
		return name
	})},
	{"an unknown P1 of GET DATA answers 6A80", "3.5-p1", answers(getData, apdu.WrongP1P2, apdu.WrongData)},
	{"P2 of GET DATA is ignored", "3.5-p2", before(getData, func(c *apdu.Command) {
		if c.P1 != 1 {
			c.P2 = 0
		}
	})},
	{"READ FILE reads keys", "2.1-secrets-stay", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == readFile && len(c.Data) > 0 && (c.Data[0] == 0x84 || c.Data[0] == 0x86) {
			return apdu.Response{Data: make([]byte, 32), SW: apdu.OK}
		}
		return right(ch, c)
	})},
}

var randomMutants = []mutant{
	{"GET RANDOM repeats itself", "3.6-differ", data(getRandom, func(b []byte) []byte { return bytes.Repeat([]byte{0xA5}, len(b)) })},
	{"GET RANDOM begins anew at SELECT", "3.6-after-select", func(w *wrong) {
		var n byte
		selects := w.selects
		w.selects = func(ch int) { n = 0; selects(ch) }
		data(getRandom, func(b []byte) []byte { n++; return bytes.Repeat([]byte{n}, len(b)) })(w)
	}},
	{"GET RANDOM of 256 bytes answers 255", "3.6-lengths", data(getRandom, func(b []byte) []byte { return b[:min(255, len(b))] })},
	{"GET RANDOM of one byte answers two", "3.6-lengths", onCard(func(c []byte, pass func([]byte) []byte) []byte {
		if c[1] == getRandom && len(c) == 5 && c[4] == 1 {
			return append([]byte{0x55}, pass(c)...)
		}
		return pass(c)
	})},
	{"random bytes are zeros from 128 on", "3.6-many-values", data(getRandom, func(b []byte) []byte {
		if len(b) > 128 {
			clear(b[128:])
		}
		return b
	})},
	{"P2 of GET RANDOM is ignored", "3.6-parameters", ignoresP2(getRandom)},
}

var fileMutants = []mutant{
	{"READ FILE is one byte off", "3.7-offsets", before(readFile, func(c *apdu.Command) {
		if n := int(c.P1)<<8 | int(c.P2); n > 0 {
			c.P1, c.P2 = byte((n-1)>>8), byte(n-1)
		}
	})},
	{"READ FILE ignores P1", "3.7-offsets", before(readFile, func(c *apdu.Command) { c.P1 = 0 })},
	{"READ FILE answers one byte more than asked for", "3.7-le", before(readFile, func(c *apdu.Command) {
		if c.Le > 0 && c.Le < 255 {
			c.Le--
		}
	})},
	{"READ FILE without Le answers 100 bytes", "3.7-no-le", after(readFile, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.Le == 0 {
			r.Data = r.Data[:min(100, len(r.Data))]
		}
		return r
	})},
	{"a block has 128 bytes", "3.7-block", data(readFile, func(b []byte) []byte { return b[:min(128, len(b))] })},
	{"a file ends one byte early", "3.7-size", data(readFile, func(b []byte) []byte {
		if len(b) < 255 {
			return b[:len(b)-1]
		}
		return b
	})},
	{"the end of a file is an error", "3.7-end", after(readFile, func(_ apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == apdu.OK && len(r.Data) == 0 {
			r.SW = apdu.WrongP1P2
		}
		return r
	})},
	{"beyond the end is 9000 too", "3.7-beyond", answers(readFile, apdu.WrongP1P2, apdu.OK)},
	{"beyond the end is 6981", "3.7-beyond", answers(readFile, apdu.WrongP1P2, apdu.Incompatible)},
	{"the top bit of an offset is ignored", "3.7-beyond", before(readFile, func(c *apdu.Command) { c.P1 &= 0x7F })},
	{"READ FILE goes on where it stopped", "3.7-again", func(w *wrong) {
		last := 0
		before(readFile, func(c *apdu.Command) {
			if n := int(c.P1)<<8 | int(c.P2); n == 0 && last > 0 {
				c.P1, c.P2, last = byte(last>>8), byte(last), 0
			} else {
				last = n
			}
		})(w)
	}},
	{"READ FILE remembers the first file", "3.7-interleaved", func(w *wrong) {
		var first []byte
		before(readFile, func(c *apdu.Command) {
			if first == nil {
				first = c.Data
			}
			c.Data = first
		})(w)
	}},
	{"the size of a file is little-endian", "3.7-size", entries(func(e []byte) []byte {
		if e[0] == 0xC3 {
			n := len(e)
			e[n-5], e[n-4] = e[n-4], e[n-5]
		}
		return e
	})},
	{"READ FILE takes no labels", "3.7-label", around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == readFile && len(c.Data) > 0 && c.Data[0] == 0x73 {
			return apdu.Response{SW: apdu.WrongData}
		}
		return right(ch, c)
	})},
	{"an unknown file answers 6A88", "3.7-unknown", answers(readFile, apdu.NotFound, apdu.ReferenceNotFound)},
	{"a file that is not activated is read", "3.7-inactive", lie(iotsafe.File, "\x02", 0x4A, 0)},
	{"a file without the right is read", "3.7-no-right", lie(iotsafe.File, "\x02", 0x60, 0)},
	{"a malformed name is only unknown", "3.7-malformed", answers(readFile, apdu.WrongData, apdu.NotFound)},
}
