package est

import (
	"bytes"
	"encoding/base64"
)

// lineLength is that of the lines of base64 that are sent. RFC 8951 (2.1) lets a receiver meet
// line breaks or none; with them, every decoder there is can read the answers.
const lineLength = 64

// encode is base64 in lines (RFC 4648, 4).
func encode(content []byte) []byte {
	text := base64.StdEncoding.AppendEncode(nil, content)
	out := make([]byte, 0, len(text)+len(text)/lineLength+1)
	for len(text) > lineLength {
		out = append(append(out, text[:lineLength]...), '\n')
		text = text[lineLength:]
	}
	return append(append(out, text...), '\n')
}

// decode reads base64 with white space anywhere in it, or none.
func decode(text []byte) ([]byte, error) {
	compact := bytes.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n':
			return -1
		}
		return r
	}, text)
	return base64.StdEncoding.Strict().AppendDecode(nil, compact)
}
