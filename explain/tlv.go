package explain

import (
	"fmt"

	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// dictionary names the fields that may occur in one place, by tag.
type dictionary map[tlv.Tag]field

// field is what is known of one tag.
type field struct {
	name   string
	value  decoder    // what its value means; nil: just bytes
	fields dictionary // or what it consists of
	form   form       // or how to explain it
	secret bool
	ber    bool // its fields are BER-TLV
}

// decoder says what a value means; "" if it is none that it knows.
type decoder func(v []byte) string

// form explains the data of a command or an answer.
type form func(x *exchange, b []byte) []Part

// merged is a dictionary of all the given ones; of two fields with the same tag the
// later counts.
func merged(all ...dictionary) dictionary {
	d := dictionary{}
	for _, one := range all {
		for tag, f := range one {
			d[tag] = f
		}
	}
	return d
}

// element is one field found in data.
type element struct {
	tag   tlv.Tag
	value []byte
	end   int // of the element in the data
}

// reading is one way to read a length field.
type reading struct{ length, size int }

// readings lists how the length behind a tag may be read, the likeliest first. Peers
// differ: most lengths have one byte, but applets and clients in the field also write
// BER lengths, FF and two bytes, two bytes behind tag 33 and three behind tag 9B.
func readings(tag byte, b []byte) []reading {
	var out []reading
	add := func(size, skip int) {
		if len(b) >= size {
			n := 0
			for _, digit := range b[skip:size] {
				n = n<<8 | int(digit)
			}
			if n <= len(b)-size {
				out = append(out, reading{n, size})
			}
		}
	}
	switch tag {
	case iotsafe.TagSignature:
		add(2, 0)
	case iotsafe.TagFullText:
		add(3, 0)
	}
	if len(b) > 0 {
		switch b[0] {
		case 0x81:
			add(2, 1)
		case 0x82:
			add(3, 1)
		case 0xFF:
			add(3, 1)
		}
	}
	add(1, 0)
	return out
}

// fit finds the reading of b in which fields of the dictionary fill it to the last byte.
func fit(b []byte, d dictionary) ([]element, bool) {
	dead := make([]bool, len(b)+1) // places from which nothing fits
	var elements []element
	// A loop and not a recursion, since what comes from outside must not nest calls.
	type choice struct {
		at   int
		left []reading
	}
	var path []choice
	at := 0
	for {
		for at < len(b) && !dead[at] {
			if _, known := d[tlv.Tag(b[at])]; !known {
				break
			}
			left := readings(b[at], b[at+1:])
			if len(left) == 0 {
				break
			}
			path = append(path, choice{at, left})
			at += 1 + left[0].size + left[0].length
		}
		if at == len(b) {
			break
		}
		dead[at] = true
		for { // back to the last place with another reading
			if len(path) == 0 {
				return nil, false
			}
			p := &path[len(path)-1]
			if p.left = p.left[1:]; len(p.left) > 0 {
				at = p.at + 1 + p.left[0].size + p.left[0].length
				break
			}
			dead[p.at] = true
			path = path[:len(path)-1]
		}
	}
	for _, p := range path {
		begin := p.at + 1 + p.left[0].size
		end := begin + p.left[0].length
		elements = append(elements, element{tlv.Tag(b[p.at]), b[begin:end], end})
	}
	return elements, len(b) > 0
}

// greedy reads b field by field, as far as that goes.
func greedy(b []byte) []element {
	var elements []element
	for at := 0; at < len(b); {
		left := readings(b[at], b[at+1:])
		if len(left) == 0 {
			break
		}
		begin := at + 1 + left[0].size
		end := begin + left[0].length
		elements = append(elements, element{tlv.Tag(b[at]), b[begin:end], end})
		at = end
	}
	return elements
}

// simple explains the SIMPLE-TLV of the applet, in all length forms of the field.
func (x *exchange) simple(b []byte, d dictionary) []Part {
	elements, fits := fit(b, d)
	if !fits {
		elements = greedy(b)
	}
	return x.parts(b, elements, d)
}

// ber explains BER-TLV.
func (x *exchange) ber(b []byte, d dictionary) []Part {
	var elements []element
	for rest := b; len(rest) > 0; {
		o, after, err := tlv.Next(rest)
		if err != nil {
			break
		}
		elements = append(elements, element{o.Tag, o.Value, len(b) - len(after)})
		rest = after
	}
	return x.parts(b, elements, d)
}

// parts explains fields, and names what is left behind them.
func (x *exchange) parts(b []byte, elements []element, d dictionary) []Part {
	parts := make([]Part, 0, len(elements))
	end := 0
	for _, e := range elements {
		parts = append(parts, x.field(e, d))
		end = e.end
	}
	if rest := b[end:]; len(rest) > 0 {
		parts = append(parts, x.hidden("rest", rest, "left over, no whole field", true))
	}
	return parts
}

// field explains one field.
func (x *exchange) field(e element, d dictionary) Part {
	f, known := d[e.tag]
	name := fmt.Sprintf("%02X %s", uint32(e.tag), f.name)
	switch {
	case !known:
		return x.hidden(fmt.Sprintf("tag %02X", uint32(e.tag)), e.value, "", true)
	case f.secret:
		return x.hidden(name, e.value, "", false)
	case f.form != nil:
		return Part{Name: name, Text: count(len(e.value)), Parts: f.form(x, e.value)}
	case f.fields != nil && f.ber:
		return Part{Name: name, Text: count(len(e.value)), Parts: x.ber(e.value, f.fields)}
	case f.fields != nil:
		return Part{Name: name, Text: count(len(e.value)), Parts: x.simple(e.value, f.fields)}
	}
	p := Part{Name: name, Hex: fmt.Sprintf("%X", e.value)}
	if f.value != nil {
		p.Text = f.value(e.value)
		p.Unknown = p.Text == ""
	}
	return p
}
