package applet

import (
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// maxFields is more than any command has.
const maxFields = 8

// fields are the parts of a command's data, each tag at most once, in any order. What a
// command knows it takes out; what is left over then does not belong there.
type fields struct {
	parts [maxFields]tlv.Object
	n     int
}

// readFields reads the data of a command.
func readFields(data []byte) (f fields, ok bool) {
	for len(data) > 0 {
		part, rest, err := tlv.NextSimple(data)
		if err != nil || f.n == maxFields || f.find(byte(part.Tag)) >= 0 {
			return fields{}, false
		}
		f.parts[f.n], data = part, rest
		f.n++
	}
	return f, true
}

func (f *fields) find(tag byte) int {
	for i := range f.n {
		if byte(f.parts[i].Tag) == tag {
			return i
		}
	}
	return -1
}

// take removes the field with the given tag and returns its value.
func (f *fields) take(tag byte) (value []byte, present bool) {
	i := f.find(tag)
	if i < 0 {
		return nil, false
	}
	value = f.parts[i].Value
	f.n--
	f.parts[i] = f.parts[f.n]
	return value, true
}

// number is the value of a field of size bytes, big-endian; 0 if it is not there. ok is
// false if it has another size.
func (f *fields) number(tag byte, size int) (n int, ok bool) {
	value, present := f.take(tag)
	if present && len(value) != size {
		return 0, false
	}
	for _, b := range value {
		n = n<<8 | int(b)
	}
	return n, true
}

// name removes the identifier or the label of an object; a command may not carry both. An
// absent name is the field with tag 0.
func (f *fields) name(kind iotsafe.Kind) (name tlv.Object, ok bool) {
	id, byID := f.take(kind.IDTag())
	label, byLabel := f.take(kind.LabelTag())
	switch {
	case byID && byLabel:
		return tlv.Object{}, false
	case byID:
		return tlv.Object{Tag: tlv.Tag(kind.IDTag()), Value: id}, true
	case byLabel:
		return tlv.Object{Tag: tlv.Tag(kind.LabelTag()), Value: label}, true
	}
	return tlv.Object{}, true
}

// empty tells that nothing is left over.
func (f *fields) empty() bool { return f.n == 0 }
