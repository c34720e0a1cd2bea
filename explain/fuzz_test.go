package explain_test

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/simroot/simroot/explain"
)

// FuzzSession explains whatever a terminal and a card may say: never a panic, never a
// loop, and always something.
func FuzzSession(f *testing.F) {
	files, err := filepath.Glob("testdata/*/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal("no conversations", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		var packed []byte
		for step, err := range explain.Read(bytes.NewReader(text)) {
			if err != nil {
				f.Fatal(err)
			}
			packed = append(append(packed, byte(step.Kind), byte(len(step.Bytes)>>8), byte(len(step.Bytes))), step.Bytes...)
		}
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		s := explain.New(explain.Options{})
		for len(packed) >= 3 {
			n := min(int(packed[1])<<8|int(packed[2]), len(packed)-3)
			step := explain.Step{Kind: explain.Kind(packed[0] % 4), Bytes: packed[3 : 3+n], Withheld: int(packed[0] / 4)}
			packed = packed[3+n:]
			if text := s.Explain(step).String(); !strings.HasSuffix(text, "\n") {
				t.Fatalf("%q", text)
			}
		}
	})
}

// FuzzRead reads whatever text there is.
func FuzzRead(f *testing.F) {
	f.Add([]byte("> 0070000001 (remark) < 01 9000 # more\n  AB\n9000\n"))
	f.Add([]byte("[any] > 00 < \n> zz"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for step, err := range explain.Read(bytes.NewReader(text)) {
			if err == nil && len(step.Bytes) == 0 && step.Kind != explain.Failure {
				t.Fatal("a step of nothing")
			}
			if hex.EncodedLen(len(step.Bytes)) > len(text) {
				t.Fatal("a step of more than there is")
			}
		}
	})
}
