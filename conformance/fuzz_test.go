package conformance_test

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"

	"github.com/simroot/simroot/conformance"
	"github.com/simroot/simroot/iotsafe"
)

// Garbage in the answers of a card makes a test fail or skip, and nothing else.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte{0x90, 0x00}, uint8(0), uint16(0))
	f.Add([]byte{0x61, 0xFF, 0x61, 0x00}, uint8(3), uint16(40))
	f.Add([]byte{0x34, 0x45, 0x49, 0x43, 0x86, 0x41, 0x04, 0x90, 0x00}, uint8(7), uint16(90))
	f.Add([]byte{}, uint8(1), uint16(120))
	f.Add([]byte{0x84, 0x01, 0x85, 0xFF, 0x33, 0x00, 0x40, 0x63, 0x00}, uint8(11), uint16(200))
	f.Add([]byte{0x34, 0x82, 0x01, 0x0D, 0x49, 0x82, 0x01, 0x09, 0x90, 0x00}, uint8(20), uint16(250))
	tests := conformance.Tests()
	state := fullState(f)
	f.Fuzz(func(t *testing.T, noise []byte, every uint8, which uint16) {
		s, n := newSIM(t, newApplet(state)), 0
		s.alter = func(command []byte, pass func([]byte) []byte) []byte {
			answer := pass(command)
			if n++; n%(int(every)+2) == 0 {
				return slices.Concat(answer[:min(len(answer), n%40)], noise)
			}
			return answer
		}
		o := fullOptions()
		o.Only = regexp.MustCompile("^" + regexp.QuoteMeta(tests[int(which)%len(tests)].ID) + "$")
		if _, err := conformance.Run(context.Background(), s, o); err != nil && !errors.Is(err, iotsafe.ErrNoApplet) {
			t.Fatal(err)
		}
	})
}
