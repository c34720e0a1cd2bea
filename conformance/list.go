package conformance

import (
	"bytes"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// maxPart is the most data in one part of the list that every client has room for.
const maxPart = 254

// entry is one object of the list: its wrapper and its attributes.
type entry struct {
	kind       iotsafe.Kind
	whole      []byte
	attributes []tlv.Object
}

// entries reads the list strictly.
func (s *Session) entries() []entry {
	var all []entry
	parts := s.strictParts()
	rest := slices.Concat(parts...)
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			s.fail("the list ends within an object: % X", rest)
		}
		whole := rest[:2+int(rest[1])]
		kind := iotsafe.Kind(whole[0])
		if !slices.Contains(iotsafe.Kinds, kind) {
			s.fail("tag %02X in the list is no kind of object (C1 to C4)", whole[0])
		}
		attributes, err := tlv.ParseSimple(whole[2:])
		if err != nil {
			s.fail("the description % X is no list of tags, lengths and values: %v", whole, err)
		}
		all = append(all, entry{kind, whole, attributes})
		rest = rest[len(whole):]
	}
	return all
}

// strictParts reads the parts of the list and wants every one to be answered as it should.
func (s *Session) strictParts() (parts [][]byte) {
	c := command(insGetData, 0x01, 0x00).le(apdu.MaxLe)
	for range maxRounds {
		r := s.do(c)
		parts = append(parts, r.Data)
		switch {
		case r.SW.Succeeded():
			return parts
		case r.SW != apdu.MoreData:
			s.fail("part %d of the list was answered %04X, want 9000 or 6300", len(parts), uint16(r.SW))
		}
		c.P2 = 0x01
	}
	s.fail("the list has no end after %d parts", maxRounds)
	return nil
}

var listTests = []Test{
	{
		ID: "3.4-form", Chapter: "3.4, 5.1 (12)",
		Title: "The list is one C1, C2, C3 or C4 for each object, with one-byte lengths and nothing else at top level",
		run:   func(s *Session) { s.entries() },
	},
	{
		ID: "3.4-order", Chapter: "3.4, 5.1 (12)",
		Title: "The list has the private keys first, then public keys, secret keys, files",
		run: func(s *Session) {
			last := 0
			for _, e := range s.entries() {
				at := slices.Index(iotsafe.Kinds, e.kind)
				if at < last {
					s.fail("a %s stands behind a %s", e.kind, iotsafe.Kinds[last])
				}
				last = at
			}
		},
	},
	{
		ID: "3.4-one-object", Chapter: "3.4",
		Title: "Each entry of the list describes one object",
		run: func(s *Session) {
			for _, e := range s.entries() {
				n := 0
				for _, a := range e.attributes {
					if byte(a.Tag) == e.kind.IDTag() {
						n++
					}
				}
				if n != 1 {
					s.fail("the entry % X has %d identifiers, want one", e.whole, n)
				}
			}
		},
	},
	{
		ID: "3.4-unique", Chapter: "2.1",
		Title: "No two objects of one kind have the same identifier",
		run: func(s *Session) {
			seen := map[string]bool{}
			for _, e := range s.entries() {
				for _, a := range e.attributes {
					if byte(a.Tag) != e.kind.IDTag() {
						continue
					}
					name := e.kind.String() + string(a.Value)
					if seen[name] {
						s.fail("%s % X is listed twice", e.kind, a.Value)
					}
					seen[name] = true
				}
			}
		},
	},
	{
		ID: "3.4-parts", Chapter: "3.4, 5.1 (12)",
		Title: "A part of the list has at most 254 bytes and ends with a whole object; 6300 says that more follows",
		run: func(s *Session) {
			for i, part := range s.strictParts() {
				if len(part) > maxPart {
					s.fail("part %d has %d bytes", i+1, len(part))
				}
				for len(part) > 0 {
					if len(part) < 2 || len(part) < 2+int(part[1]) {
						s.fail("part %d ends within an object", i+1)
					}
					part = part[2+int(part[1]):]
				}
			}
		},
	},
	{
		ID: "3.4-again", Chapter: "3.4",
		Title: "The list can be asked for again, also in the middle, and is the same",
		run: func(s *Session) {
			first := slices.Concat(s.strictParts()...)
			s.do(command(insGetData, 0x01, 0x00).le(apdu.MaxLe))
			s.same("the list, asked for again", slices.Concat(s.strictParts()...), first)
		},
	},
	{
		ID: "3.4-no-more", Chapter: "3.4",
		Title: "There is no further part behind the last, nor without a first",
		run: func(s *Session) {
			next := command(insGetData, 0x01, 0x01).le(apdu.MaxLe)
			s.isError("GET DATA for the next part, first of all", s.do(next))
			s.strictParts()
			s.isError("GET DATA for a part behind the last", s.do(next))
		},
	},
	{
		ID: "3.4-complete", Chapter: "3.4",
		Title: "What answers to an identifier is in the list (one-byte identifiers up to 2F are tried)",
		run: func(s *Session) {
			listed := map[string]bool{}
			for _, o := range s.objects() {
				listed[o.Kind.String()+string(o.ID)] = true
			}
			for _, kind := range iotsafe.Kinds {
				for n := range 0x30 {
					name := string([]byte{byte(n)})
					r := s.do(getData(kind, field(kind.IDTag(), byte(n))))
					if r.SW.Succeeded() && !listed[kind.String()+name] {
						s.fail("GET DATA describes %s %02X, the list does not", kind, n)
					}
				}
			}
		},
	},
}

// orders is the order of attributes that strict readers take; those in optional may be absent.
var orders = map[iotsafe.Kind][]byte{
	iotsafe.PrivateKey: {0x74, 0x84, 0x60, 0x4A, 0x4B, 0x4E, 0x61, 0x92, 0x91, 0x6F},
	iotsafe.PublicKey:  {0x75, 0x85, 0x60, 0x4A, 0x4B, 0x4E, 0x61, 0x92, 0x91, 0x6F},
	iotsafe.SecretKey:  {0x76, 0x86, 0x60, 0x4A, 0x4B, 0x61, 0x94},
	iotsafe.File:       {0x73, 0x83, 0x60, 0x4A, 0x20, 0x21},
}

var optional = []byte{0x74, 0x75, 0x76, 0x73, 0x92, 0x91, 0x6F, 0x94}

// attributeLengths are the lengths of attributes; those of labels and identifiers vary.
var attributeLengths = map[byte]int{
	0x60: 1, 0x4A: 1, 0x4B: 1, 0x4E: 1, 0x61: 1, 0x92: 1, 0x91: 2, 0x6F: 1, 0x94: 1, 0x20: 2, 0x21: 1,
}

var attributeTests = []Test{
	{
		ID: "2.1-identifiers", Chapter: "2.1",
		Title: "Identifiers have 1 to 20 bytes, labels at most 60",
		run: func(s *Session) {
			for _, e := range s.entries() {
				for _, a := range e.attributes {
					switch n := len(a.Value); {
					case byte(a.Tag) == e.kind.IDTag() && (n < 1 || n > iotsafe.MaxID):
						s.fail("the identifier of % X has %d bytes", e.whole, n)
					case byte(a.Tag) == e.kind.LabelTag() && n > iotsafe.MaxLabel:
						s.fail("the label of % X has %d bytes", e.whole, n)
					}
				}
			}
		},
	},
	{
		ID: "2.2-lengths", Chapter: "2.2",
		Title: "Attributes have the lengths of the interface",
		run: func(s *Session) {
			for _, e := range s.entries() {
				for _, a := range e.attributes {
					if want, ok := attributeLengths[byte(a.Tag)]; ok && len(a.Value) != want {
						s.fail("tag %02X of % X has %d bytes, want %d", byte(a.Tag), e.whole, len(a.Value), want)
					}
				}
			}
		},
	},
	{
		ID: "2.2-values", Chapter: "2.2",
		Title: "Attributes have values of the interface",
		run: func(s *Session) {
			for _, e := range s.entries() {
				for _, a := range e.attributes {
					s.attributeValue(e, byte(a.Tag), value(a.Value))
				}
			}
		},
	},
	{
		ID: "2.3-order", Chapter: "2.3",
		Title: "Attributes come in the order that strict readers take, none missing and none unknown",
		run: func(s *Session) {
			for _, e := range s.entries() {
				want := orders[e.kind]
				for _, a := range e.attributes {
					for len(want) > 0 && want[0] != byte(a.Tag) && bytes.Contains(optional, want[:1]) {
						want = want[1:]
					}
					if len(want) == 0 || want[0] != byte(a.Tag) {
						s.fail("tag %02X of % X is out of order", byte(a.Tag), e.whole)
					}
					want = want[1:]
				}
				for _, tag := range want {
					if !bytes.Contains(optional, []byte{tag}) {
						s.fail("tag %02X is missing in % X", tag, e.whole)
					}
				}
			}
		},
	},
}

// attributeValue wants a value that chapter 2.2 knows.
func (s *Session) attributeValue(e entry, tag byte, v int) {
	bad := false
	switch tag {
	case iotsafe.TagAccess:
		bad = v&^0x03 != 0
	case iotsafe.TagState:
		bad = v > 1
	case iotsafe.TagKeyType:
		bad = !slices.Contains([]int{0x03, 0x13, 0x14, 0x23, 0x24, 0x43, 0xA0, 0xB0}, v) && v < 0xF0 // from there up, a card's own
	case iotsafe.TagKeyUsage:
		bad = v < 1 || v > 3
	case iotsafe.TagFileUsage:
		bad = v < 1 || v > 2
	case iotsafe.TagFunctions:
		bad = v&^0x8F != 0 // bit 80 is a card's own
	case iotsafe.TagSignatures:
		bad = v&^0x0F != 0
	case iotsafe.TagHashes:
		bad = v&^0x07 != 0
	case iotsafe.TagKeyAgreement:
		bad = v&^0x01 != 0
	case iotsafe.TagDerivations:
		bad = v&^0x03 != 0
	}
	if bad {
		s.fail("tag %02X of % X has the value %X, which has no meaning", tag, e.whole, v)
	}
}
