// Package tlv reads and writes the two tag-length-value forms that cards use:
// BER-TLV (ISO/IEC 8825-1, ISO/IEC 7816-4 5.2.2), in which GlobalPlatform and simroot's
// personalisation speak, and SIMPLE-TLV (ISO/IEC 7816-4 5.2.1), whose one-byte tags and
// lengths the IoT SAFE applet uses.
//
// Reading is strict and bounded: a length beyond the input, an indefinite or
// needlessly long length, a tag of more than three bytes is an error, and nothing is
// copied: values alias the input.
package tlv

import "fmt"

// Tag is a BER tag as the bytes that encode it, big-endian: 0x82, 0x5F50, 0xBF20.
type Tag uint32

// Constructed tells whether the value is itself a sequence of BER-TLV objects.
func (t Tag) Constructed() bool { return t.first()&0x20 != 0 }

func (t Tag) first() byte {
	for t > 0xFF {
		t >>= 8
	}
	return byte(t)
}

// Object is one data object.
type Object struct {
	Tag   Tag
	Value []byte
}

// Append adds one BER-TLV object to dst, with the shortest length form.
func Append(dst []byte, tag Tag, value ...byte) []byte {
	dst = appendTag(dst, tag)
	dst = appendLength(dst, len(value))
	return append(dst, value...)
}

func appendTag(dst []byte, tag Tag) []byte {
	switch {
	case tag > 0xFFFF:
		dst = append(dst, byte(tag>>16), byte(tag>>8))
	case tag > 0xFF:
		dst = append(dst, byte(tag>>8))
	}
	return append(dst, byte(tag))
}

func appendLength(dst []byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, byte(n))
	case n <= 0xFF:
		return append(dst, 0x81, byte(n))
	case n <= 0xFFFF:
		return append(dst, 0x82, byte(n>>8), byte(n))
	default:
		return append(dst, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
}

// Next reads the first BER-TLV object of b and returns what follows it.
func Next(b []byte) (o Object, rest []byte, err error) {
	tag, n, err := parseTag(b)
	if err != nil {
		return Object{}, nil, err
	}
	length, m, err := parseLength(b[n:])
	if err != nil {
		return Object{}, nil, fmt.Errorf("tlv: tag %X: %w", uint32(tag), err)
	}
	b = b[n+m:]
	if length > len(b) {
		return Object{}, nil, fmt.Errorf("tlv: tag %X says %d bytes, %d follow", uint32(tag), length, len(b))
	}
	return Object{Tag: tag, Value: b[:length:length]}, b[length:], nil
}

// Parse reads b as a sequence of BER-TLV objects, to its last byte.
func Parse(b []byte) ([]Object, error) {
	var out []Object
	for len(b) > 0 {
		o, rest, err := Next(b)
		if err != nil {
			return nil, err
		}
		out, b = append(out, o), rest
	}
	return out, nil
}

// Find returns the value of the first object with the given tag.
func Find(objects []Object, tag Tag) (value []byte, found bool) {
	for _, o := range objects {
		if o.Tag == tag {
			return o.Value, true
		}
	}
	return nil, false
}

func parseTag(b []byte) (Tag, int, error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("tlv: a tag is missing")
	}
	if b[0]&0x1F != 0x1F {
		return Tag(b[0]), 1, nil
	}
	tag := Tag(b[0])
	for n := 1; n < 3; n++ {
		if n >= len(b) {
			return 0, 0, fmt.Errorf("tlv: tag %X is cut short", uint32(tag))
		}
		tag = tag<<8 | Tag(b[n])
		if b[n]&0x80 == 0 {
			return tag, n + 1, nil
		}
	}
	return 0, 0, fmt.Errorf("tlv: tag %X has more than three bytes", uint32(tag))
}

func parseLength(b []byte) (length, size int, err error) {
	if len(b) == 0 {
		return 0, 0, fmt.Errorf("its length is missing")
	}
	if b[0] < 0x80 {
		return int(b[0]), 1, nil
	}
	n := int(b[0] & 0x7F)
	if n == 0 || n > 3 {
		return 0, 0, fmt.Errorf("length form %02X is not supported", b[0])
	}
	if len(b) < 1+n {
		return 0, 0, fmt.Errorf("its length is cut short")
	}
	for _, x := range b[1 : 1+n] {
		length = length<<8 | int(x)
	}
	if len(appendLength(nil, length)) != 1+n {
		return 0, 0, fmt.Errorf("length %d is not in its shortest form", length)
	}
	return length, 1 + n, nil
}
