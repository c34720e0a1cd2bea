package appserver

import (
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/simroot/simroot/api"
)

// Attributes are what the operator has noted of a SIM: its tenant, for example. They cannot be
// changed, are equal (==) if they say the same, and take no memory of their own: SIMs with the same
// attributes share them.
type Attributes struct {
	packed string // by key: each key and each value, a byte with its length before it
}

// Get is the value of an attribute, and false if the SIM does not have it.
func (a Attributes) Get(key string) (value string, ok bool) {
	for k, v := range a.All() {
		if k == key {
			return v, true
		}
	}
	return "", false
}

// All goes through the attributes by key.
func (a Attributes) All() iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		for rest := a.packed; rest != ""; {
			key, value := "", ""
			key, rest = unpackText(rest)
			value, rest = unpackText(rest)
			if !yield(key, value) {
				return
			}
		}
	}
}

// unpackText reads what packText wrote, as far as it is there.
func unpackText(packed string) (text, rest string) {
	if packed == "" {
		return "", ""
	}
	n := 1 + min(int(packed[0]), len(packed)-1)
	return packed[1:n], packed[n:]
}

func packText(to *strings.Builder, text string) {
	to.WriteByte(byte(len(text)))
	to.WriteString(text)
}

// packAttributes makes the one form in which attributes within their bounds are held. Those that
// are not are for checkAttributes to find.
func packAttributes(given api.Attributes) Attributes {
	if len(given) == 0 {
		return Attributes{}
	}
	if given.Check() != nil {
		return Attributes{packed: "\xFF"}
	}
	var packed strings.Builder
	for _, key := range slices.Sorted(maps.Keys(given)) {
		packText(&packed, key)
		packText(&packed, given[key])
	}
	return Attributes{packed: packed.String()}
}

// check tells whether the attributes are as packAttributes makes them: they may come from a file.
func (a Attributes) check() error {
	if a.packed == "" {
		return nil
	}
	given := make(api.Attributes)
	for key, value := range a.All() {
		if given[key] = value; len(given) > api.MaxAttributes {
			break
		}
	}
	if given.Check() != nil || packAttributes(given) != a {
		return errors.New("attributes out of their bounds")
	}
	return nil
}

// attributeSets holds each set of attributes once. Number 0 is the empty one.
type attributeSets struct {
	sets   []attributeSet // by number less one
	number map[Attributes]uint32
	free   []uint32
}

type attributeSet struct {
	Attributes
	users int
}

// at is the set with a number.
func (s *attributeSets) at(number uint32) Attributes {
	if number == 0 {
		return Attributes{}
	}
	return s.sets[number-1].Attributes
}

// use is the number of a set for one more user.
func (s *attributeSets) use(a Attributes) uint32 {
	if a == (Attributes{}) {
		return 0
	}
	number, ok := s.number[a]
	switch last := len(s.free) - 1; {
	case ok:
	case last >= 0:
		number, s.free = s.free[last], s.free[:last]
	default:
		s.sets = append(s.sets, attributeSet{})
		number = uint32(len(s.sets))
	}
	if !ok {
		a.packed = strings.Clone(a.packed)
		s.number[a], s.sets[number-1].Attributes = number, a
	}
	s.sets[number-1].users++
	return number
}

// leave ends one use of a number. What nobody uses is forgotten.
func (s *attributeSets) leave(number uint32) {
	if number == 0 {
		return
	}
	set := &s.sets[number-1]
	if set.users--; set.users == 0 {
		delete(s.number, set.Attributes)
		*set = attributeSet{}
		s.free = append(s.free, number)
	}
}
