package conformance

import (
	"bytes"
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// malformed is what a card may answer to data that cannot be read.
var malformed = []apdu.SW{apdu.WrongData, apdu.WrongLength}

// each calls f for every object, and skips the test if there is none.
func (s *Session) each(f func(iotsafe.Object)) {
	objects := s.objects()
	if len(objects) == 0 {
		s.skip("the card lists no objects")
	}
	for _, o := range objects {
		f(o)
	}
}

// hasID tells whether an object of a kind has an identifier.
func (s *Session) hasID(kind iotsafe.Kind, id iotsafe.ID) bool {
	_, ok := s.find(kind, func(o iotsafe.Object) bool { return o.ID == id })
	return ok
}

var objectTests = []Test{
	{
		ID: "3.5-wrapper", Chapter: "3.5, 8 (23)",
		Title: "GET DATA of one object answers its kind's tag, a length, and its attributes",
		run: func(s *Session) {
			s.each(func(o iotsafe.Object) {
				data := s.ok(getData(o.Kind, id(o)))
				if len(data) < 2 || data[0] != byte(o.Kind) || int(data[1]) != len(data)-2 {
					s.fail("%s %s is described by % X", o.Kind, o.ID, data)
				}
			})
		},
	},
	{
		ID: "3.5-as-listed", Chapter: "3.4, 3.5",
		Title: "GET DATA of one object says the same as the list",
		run: func(s *Session) {
			for _, e := range s.entries() {
				for _, a := range e.attributes {
					if byte(a.Tag) == e.kind.IDTag() {
						s.same("the description of one object", s.ok(getData(e.kind, field(byte(a.Tag), a.Value...))), e.whole)
					}
				}
			}
		},
	},
	{
		ID: "3.5-label", Chapter: "2.1, 3.5, 8 (11)",
		Title: "An object can be named by its label instead of its identifier",
		run: func(s *Session) {
			tried := false
			s.each(func(o iotsafe.Object) {
				if o.Label == "" || s.bearers(o) > 1 {
					return
				}
				tried = true
				s.same("an object, asked for by its label", s.ok(getData(o.Kind, label(o))), s.ok(getData(o.Kind, id(o))))
			})
			if !tried {
				s.skip("no object has a label of its own")
			}
		},
	},
	{
		ID: "3.5-unknown-id", Chapter: "3.5, 3.18, 8 (12)",
		Title: "An identifier that names nothing answers 6A82, whatever its length from 1 to 20",
		run: func(s *Session) {
			for _, kind := range iotsafe.Kinds {
				for _, n := range []int{1, 2, 3, 8, 16, 19, 20} {
					s.refused(getData(kind, s.unknown(kind, n)), apdu.NotFound)
				}
			}
		},
	},
	{
		ID: "3.5-unknown-label", Chapter: "3.5, 3.18",
		Title: "A label that names nothing answers 6A82",
		run: func(s *Session) {
			for _, kind := range iotsafe.Kinds {
				for _, n := range []int{1, 20, 60} {
					s.refused(getData(kind, field(kind.LabelTag(), bytes.Repeat([]byte{0x7E}, n)...)), apdu.NotFound)
				}
			}
		},
	},
	{
		ID: "3.5-similar-id", Chapter: "2.1",
		Title: "Identifiers are compared whole: one byte more, less or other names nothing",
		run: func(s *Session) {
			s.each(func(o iotsafe.Object) {
				last := len(o.ID) - 1
				similar := []iotsafe.ID{
					o.ID + "\x00", o.ID + o.ID[last:], o.ID[:last], o.ID[:last] + iotsafe.ID([]byte{o.ID[last] ^ 0x80}),
					iotsafe.ID([]byte{o.ID[0] ^ 0x80}) + o.ID[1:], "\x00" + o.ID,
				}
				for _, other := range similar {
					if other.Check() == nil && !s.hasID(o.Kind, other) {
						s.refused(getData(o.Kind, field(o.Kind.IDTag(), []byte(other)...)), apdu.NotFound)
					}
				}
			})
		},
	},
	{
		ID: "3.5-similar-label", Chapter: "2.1",
		Title: "Labels are compared whole: one byte more or less names nothing",
		run: func(s *Session) {
			s.each(func(o iotsafe.Object) {
				if o.Label == "" {
					return
				}
				for _, other := range []string{o.Label + "~", o.Label[:len(o.Label)-1]} {
					_, used := s.find(o.Kind, func(x iotsafe.Object) bool { return x.Label == other })
					if other != "" && len(other) <= iotsafe.MaxLabel && !used {
						s.refused(getData(o.Kind, field(o.Kind.LabelTag(), []byte(other)...)), apdu.NotFound)
					}
				}
			})
		},
	},
	{
		ID: "3.5-kinds-apart", Chapter: "2.1",
		Title: "Identifiers are separate for each kind",
		run: func(s *Session) {
			s.each(func(o iotsafe.Object) {
				for _, kind := range iotsafe.Kinds {
					if kind != o.Kind && !s.hasID(kind, o.ID) {
						s.refused(getData(kind, field(kind.IDTag(), []byte(o.ID)...)), apdu.NotFound)
					}
				}
			})
		},
	},
	{
		ID: "3.5-id-of-20", Chapter: "2.1",
		Title: "An object with an identifier of more than 8 bytes is found by it",
		run: func(s *Session) {
			tried := false
			for _, o := range s.objects() {
				if len(o.ID) > 8 {
					tried = true
					s.ok(getData(o.Kind, id(o)))
				}
			}
			if !tried {
				s.skip("no object has so long an identifier")
			}
		},
	},
	{
		ID: "3.5-id-of-21", Chapter: "2.1, 3.18",
		Title: "An identifier of 21 bytes is refused as malformed",
		run: func(s *Session) {
			for _, kind := range iotsafe.Kinds {
				s.refused(getData(kind, field(kind.IDTag(), bytes.Repeat([]byte{0xEE}, 21)...)), malformed...)
			}
		},
	},
	{
		ID: "3.5-empty-id", Chapter: "2.1, 3.18",
		Title: "An empty identifier is refused as malformed",
		run: func(s *Session) {
			for _, kind := range iotsafe.Kinds {
				s.refused(getData(kind, field(kind.IDTag())), malformed...)
			}
		},
	},
	{
		ID: "3.5-no-name", Chapter: "3.5, 3.18",
		Title: "GET DATA of one object without a name is refused as malformed",
		run: func(s *Session) {
			for _, kind := range iotsafe.Kinds {
				s.refused(command(insGetData, byte(kind), 0).le(apdu.MaxLe), malformed...)
			}
		},
	},
	{
		ID: "3.5-other-tag", Chapter: "2.1, 3.5",
		Title: "A name with the tag of another kind is refused as malformed",
		run: func(s *Session) {
			for i, kind := range iotsafe.Kinds {
				other := iotsafe.Kinds[(i+1)%len(iotsafe.Kinds)]
				s.refused(getData(kind, s.unknown(other, 1)), malformed...)
			}
		},
	},
	{
		ID: "3.5-cut", Chapter: "2.1, 3.18",
		Title: "A name whose length goes beyond the data is refused as malformed",
		run: func(s *Session) {
			for _, kind := range iotsafe.Kinds {
				s.refused(getData(kind, []byte{kind.IDTag(), 0x05, 0x01}), malformed...)
				s.refused(getData(kind, []byte{kind.IDTag()}), malformed...)
			}
		},
	},
	{
		ID: "3.5-p1", Chapter: "3.5, 3.18",
		Title: "GET DATA with a P1 that is no kind of object answers 6A86",
		run: func(s *Session) {
			for _, p1 := range []byte{0x02, 0x03, 0x7F, 0x80, 0xC0, 0xC5, 0xFF} {
				s.refused(command(insGetData, p1, 0).le(apdu.MaxLe), apdu.WrongP1P2)
			}
		},
	},
	{
		ID: "3.5-p2", Chapter: "3.4, 3.5, 3.18",
		Title: "GET DATA with a P2 that is neither 00 nor 01 answers 6A86, and 01 goes with the list only",
		run: func(s *Session) {
			for _, p2 := range wrongParameters(0x00, 0x01) {
				s.refused(command(insGetData, 0x00, p2).le(apdu.MaxLe), apdu.WrongP1P2)
				s.refused(command(insGetData, 0x01, p2).le(apdu.MaxLe), apdu.WrongP1P2)
			}
			s.refused(command(insGetData, 0x00, 0x01).le(apdu.MaxLe), apdu.WrongP1P2)
			s.each(func(o iotsafe.Object) {
				s.refused(command(insGetData, byte(o.Kind), 0x01, id(o)), apdu.WrongP1P2)
			})
		},
	},
	{
		ID: "2.1-secrets-stay", Chapter: "2.1, 3.7, 3.9",
		Title: "No command reads a private key or a secret: READ FILE and READ PUBLIC KEY refuse their tags",
		run: func(s *Session) {
			s.each(func(o iotsafe.Object) {
				if o.Kind == iotsafe.File || o.Kind == iotsafe.PublicKey {
					return
				}
				s.isError("READ FILE of a key", s.do(readFile(0, id(o))))
				s.isError("READ PUBLIC KEY of a private or secret key", s.do(command(insReadPublicKey, 0, 0, id(o))))
			})
		},
	},
}

// bearers is the number of objects of o's kind with its label.
func (s *Session) bearers(o iotsafe.Object) int {
	n := 0
	for _, other := range s.objects() {
		if other.Kind == o.Kind && other.Label == o.Label {
			n++
		}
	}
	return n
}

// wrongParameters are values of P1 or P2 that mean nothing, where right means something.
func wrongParameters(right ...byte) []byte {
	var wrong []byte
	for _, p := range []byte{0x01, 0x02, 0x03, 0x04, 0x08, 0x10, 0x20, 0x40, 0x7F, 0x80, 0x81, 0xC0, 0xFE, 0xFF} {
		if !slices.Contains(right, p) {
			wrong = append(wrong, p)
		}
	}
	return wrong
}
