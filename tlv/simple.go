package tlv

import "fmt"

// AppendSimple adds one SIMPLE-TLV object to dst: a one-byte tag, then a length of one
// byte, or FF and two bytes from 255 up.
func AppendSimple(dst []byte, tag byte, value ...byte) []byte {
	dst = append(dst, tag)
	if len(value) < 0xFF {
		dst = append(dst, byte(len(value)))
	} else {
		dst = append(dst, 0xFF, byte(len(value)>>8), byte(len(value)))
	}
	return append(dst, value...)
}

// NextSimple reads the first SIMPLE-TLV object of b and returns what follows it.
func NextSimple(b []byte) (o Object, rest []byte, err error) {
	if len(b) < 2 {
		return Object{}, nil, fmt.Errorf("tlv: %d bytes are no SIMPLE-TLV object", len(b))
	}
	tag, length, head := b[0], int(b[1]), 2
	if length == 0xFF {
		if len(b) < 4 {
			return Object{}, nil, fmt.Errorf("tlv: tag %02X: its length is cut short", tag)
		}
		length, head = int(b[2])<<8|int(b[3]), 4
	}
	b = b[head:]
	if length > len(b) {
		return Object{}, nil, fmt.Errorf("tlv: tag %02X says %d bytes, %d follow", tag, length, len(b))
	}
	return Object{Tag: Tag(tag), Value: b[:length:length]}, b[length:], nil
}

// ParseSimple reads b as a sequence of SIMPLE-TLV objects, to its last byte.
func ParseSimple(b []byte) ([]Object, error) {
	var out []Object
	for len(b) > 0 {
		o, rest, err := NextSimple(b)
		if err != nil {
			return nil, err
		}
		out, b = append(out, o), rest
	}
	return out, nil
}
