package applet

import (
	"bytes"
	"testing"
)

// Whatever UPDATEs bring, a text is never longer than they are, and what follows it is a
// signature or nothing.
func FuzzText(f *testing.F) {
	f.Add([]byte{0x9B, 0x00, 0x00, 0x02, 0x61}, []byte{0x62, 0x33, 0x00, 0x40}, true)
	f.Add([]byte{0x9B, 0x81, 0x80}, bytes.Repeat([]byte{0x80}, 130), false)
	f.Add([]byte{0x9B, 0x82, 0x01}, []byte{0x9B}, true)
	f.Add([]byte{0x9B, 0x01, 0x61, 0x33}, []byte{0x00, 0x40}, true)
	f.Fuzz(func(t *testing.T, first, second []byte, tail bool) {
		var reader text
		for i, data := range [][]byte{first, second} {
			part, rest, ok := reader.take(data, tail, i == 1)
			if !ok {
				return
			}
			if len(part)+len(rest) > len(data) || reader.left < 0 {
				t.Fatalf("%d and %d bytes of %d", len(part), len(rest), len(data))
			}
			if len(rest) > 0 {
				if !tail || rest[0] != 0x33 || !reader.ended() {
					t.Fatalf("% X follows the text", rest)
				}
				return
			}
		}
	})
}

func FuzzReadJoined(f *testing.F) {
	f.Add([]byte{0x9E, 0x01, 0x61, 0x33, 0x00, 0x01, 0x62, 0x33, 0x01, 0x63})
	f.Add([]byte{0x34, 0x82, 0x00, 0x01, 0x61})
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, ok := readJoined(b)
		total := 0
		for i := range fields.n {
			total += len(fields.parts[i].Value)
		}
		if !ok && fields.n > 0 || total > len(b) {
			t.Fatalf("%d fields, %d bytes of %d", fields.n, total, len(b))
		}
		if data, ok := joinKeyData(b); ok && len(data) > len(b)+4 {
			t.Fatalf("%d bytes became %d", len(b), len(data))
		}
	})
}
