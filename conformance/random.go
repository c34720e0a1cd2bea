package conformance

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
)

// randomBytes asks for n random bytes, 1 to 256.
func (s *Session) randomBytes(n int) []byte {
	return s.ok(command(insGetRandom, 0, 0).le(n))
}

var randomTests = []Test{
	{
		ID: "3.6-lengths", Chapter: "3.6",
		Title: "GET RANDOM answers as many bytes as asked for, 1 to 256",
		run: func(s *Session) {
			for n := 1; n <= apdu.MaxLe; n++ {
				if got := len(s.randomBytes(n)); got != n {
					s.fail("asked for %d bytes, got %d", n, got)
				}
			}
		},
	},
	{
		ID: "3.6-differ", Chapter: "3.6",
		Title: "No two answers of GET RANDOM are the same",
		run: func(s *Session) {
			seen := map[string]bool{}
			for range 16 {
				b := string(s.randomBytes(16))
				if seen[b] {
					s.fail("16 bytes came twice")
				}
				seen[b] = true
			}
		},
	},
	{
		ID: "3.6-after-select", Chapter: "3.6",
		Title: "Random bytes do not repeat after SELECT",
		run: func(s *Session) {
			first := s.randomBytes(32)
			s.exchange(s.selectBy(s.aid))
			if bytes.Equal(first, s.randomBytes(32)) {
				s.fail("32 bytes came again after SELECT")
			}
		},
	},
	{
		ID: "3.6-many-values", Chapter: "3.6",
		Title: "Long random answers are random to their end: at least 96 values in 256 bytes, no run of 8 zeros",
		run: func(s *Session) {
			b := s.randomBytes(apdu.MaxLe)
			values := map[byte]bool{}
			for _, x := range b {
				values[x] = true
			}
			if len(values) < 96 { // expected are 162; fewer than 96 never happen
				s.fail("only %d values in 256 bytes", len(values))
			}
			if bytes.Contains(b, make([]byte, 8)) {
				s.fail("a run of zeros in 256 bytes")
			}
		},
	},
	{
		ID: "3.6-parameters", Chapter: "3.6, 3.18",
		Title: "GET RANDOM with P1 or P2 other than 00 answers 6A86",
		run:   func(s *Session) { s.refusesParameters(command(insGetRandom, 0, 0).le(8)) },
	},
}

// refusesParameters wants a command to be refused with 6A86 for any P1 or P2 but 00.
func (s *Session) refusesParameters(c message) {
	for _, p := range wrongParameters() {
		c.P1, c.P2 = p, 0
		s.refused(c, apdu.WrongP1P2)
		c.P1, c.P2 = 0, p
		s.refused(c, apdu.WrongP1P2)
	}
}
