package conformance

import (
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// applicationTags is the order and the lengths of chapter 3.3.
var applicationTags = []struct {
	tag    byte
	length int
	what   string
}{
	{0x10, 1, "the version"}, {0x11, 32, "the proprietary identifier"},
	{0xB1, 1, "the most files"}, {0xB2, 1, "the most private keys"},
	{0xB3, 1, "the most public keys"}, {0xB4, 1, "the most secret keys"},
	{0x90, 1, "the cryptographic functions"}, {0x91, 2, "the hash algorithms"},
	{0x92, 1, "the signature algorithms"}, {0x93, 1, "the key agreement"},
	{0x94, 1, "the key derivations"}, {0xB7, 1, "the most sessions"},
}

// application reads the application information.
func (s *Session) application() []byte {
	return s.ok(command(insGetData, 0, 0).le(apdu.MaxLe))
}

// applicationParts is the application information, taken apart.
func (s *Session) applicationParts() []tlv.Object {
	parts, err := tlv.ParseSimple(s.application())
	if err != nil {
		s.fail("the application information is no list of tags, lengths and values: %v", err)
	}
	return parts
}

var applicationTests = append([]Test{
	{
		ID: "3.3-length", Chapter: "3.3, 5.1 (14)",
		Title: "The application information has 68 bytes",
		run: func(s *Session) {
			if n := len(s.ok(command(insGetData, 0, 0).le(68))); n != 68 {
				s.fail("GET DATA with Le 44 answered %d bytes, want 68", n)
			}
			if n := len(s.application()); n != 68 {
				s.fail("GET DATA with Le 00 answered %d bytes, want 68", n)
			}
		},
	},
	{
		ID: "3.3-order", Chapter: "3.3",
		Title: "The tags of the application information come in the order 10, 11, B1 to B4, 90 to 94, B7",
		run: func(s *Session) {
			parts := s.applicationParts()
			for i, want := range applicationTags {
				if i >= len(parts) || byte(parts[i].Tag) != want.tag {
					s.fail("tag %02X is not in place %d", want.tag, i+1)
				}
			}
			if len(parts) > len(applicationTags) {
				s.fail("%d tags, want %d", len(parts), len(applicationTags))
			}
		},
	},
	{
		ID: "3.3-masks", Chapter: "2.2",
		Title: "The masks of the application information have no bits without a meaning",
		run: func(s *Session) {
			known := map[byte]int{0x90: 0x0F, 0x91: 0x0007, 0x92: 0x0F, 0x93: 0x01, 0x94: 0x03}
			for _, p := range s.applicationParts() {
				mask, ok := known[byte(p.Tag)]
				if v := value(p.Value); ok && v&^mask != 0 {
					s.fail("tag %02X is %X, which has bits other than %X", byte(p.Tag), v, mask)
				}
			}
		},
	},
	{
		ID: "3.3-consistent", Chapter: "2.2, 3.3",
		Title: "The application information agrees with itself: algorithms only with their function",
		run: func(s *Session) {
			i := s.told.info
			if (i.Functions&iotsafe.Signing != 0) != (i.Signatures != 0) {
				s.fail("function 01 (signature) and the signature algorithms (tag 92: %02X) do not agree", byte(i.Signatures))
			}
			if (i.Functions&iotsafe.KeyAgreement != 0) != (i.KeyAgreement != 0) {
				s.fail("function 04 (key agreement) and tag 93 (%02X) do not agree", i.KeyAgreement)
			}
			if (i.Functions&iotsafe.KeyDerivation != 0) != (i.Derivations != 0) {
				s.fail("function 08 (key derivation) and tag 94 (%02X) do not agree", byte(i.Derivations))
			}
			if i.Functions&iotsafe.Signing != 0 && i.Hashes&iotsafe.SHA256 == 0 {
				s.fail("signatures without SHA-256, which is not optional")
			}
			if i.Functions&iotsafe.Signing != 0 && i.MaxSessions == 0 {
				s.fail("signatures without sessions (tag B7)")
			}
			if i.TypeII() && i.Functions&(iotsafe.Signing|iotsafe.KeyGeneration|iotsafe.KeyAgreement) != 0 {
				s.fail("no private keys (tag B2), and yet functions that need one (tag 90: %02X)", byte(i.Functions))
			}
		},
	},
	{
		ID: "3.3-maxima", Chapter: "2.4, 3.3",
		Title: "There are no more objects of a kind than the application information allows",
		run: func(s *Session) {
			most := map[iotsafe.Kind]int{
				iotsafe.File: s.told.info.MaxFiles, iotsafe.PrivateKey: s.told.info.MaxPrivateKeys,
				iotsafe.PublicKey: s.told.info.MaxPublicKeys, iotsafe.SecretKey: s.told.info.MaxSecretKeys,
			}
			for _, kind := range iotsafe.Kinds {
				n := 0
				for _, o := range s.objects() {
					if o.Kind == kind {
						n++
					}
				}
				if n > most[kind] {
					s.fail("%d objects of kind %s, and at most %d are said to be possible", n, kind, most[kind])
				}
			}
		},
	},
	{
		ID: "3.3-functions", Chapter: "2.2",
		Title: "No key has a function or an algorithm that the application does not offer",
		run: func(s *Session) {
			i := s.told.info
			for _, o := range s.objects() {
				switch {
				case o.Functions&0x0F&^i.Functions != 0:
					s.fail("%s %s has the functions %02X, the application %02X", o.Kind, o.ID, byte(o.Functions), byte(i.Functions))
				case o.Signatures&^i.Signatures != 0:
					s.fail("%s %s has the signatures %02X, the application %02X", o.Kind, o.ID, byte(o.Signatures), byte(i.Signatures))
				case o.Hashes&^i.Hashes != 0:
					s.fail("%s %s has the hashes %04X, the application %04X", o.Kind, o.ID, uint16(o.Hashes), uint16(i.Hashes))
				case o.Derivations&^i.Derivations != 0:
					s.fail("%s %s has the derivations %02X, the application %02X", o.Kind, o.ID, byte(o.Derivations), byte(i.Derivations))
				}
			}
		},
	},
	{
		ID: "3.3-type2", Chapter: "2.2, 3.18",
		Title: "An applet that offers no signatures makes none",
		run: func(s *Session) {
			if s.told.info.Functions&iotsafe.Signing != 0 {
				s.skip("the applet offers signatures")
			}
			s.isError("COMPUTE SIGNATURE INIT", s.do(command(insSignInit, p1Open, 0, signInit(field(0x84, 0x01), iotsafe.PadAndSign))))
		},
	},
}, tagTests()...)

// tagTests has one test for each tag of the application information.
func tagTests() (tests []Test) {
	for _, want := range applicationTags {
		tests = append(tests, Test{
			ID: fmt.Sprintf("3.3-tag-%02x", want.tag), Chapter: "2.4, 3.3",
			Title: fmt.Sprintf("The application information has %s under tag %02X, of length %d", want.what, want.tag, want.length),
			run: func(s *Session) {
				for _, p := range s.applicationParts() {
					if byte(p.Tag) != want.tag {
						continue
					}
					if len(p.Value) != want.length {
						s.fail("tag %02X has %d bytes, want %d", want.tag, len(p.Value), want.length)
					}
					return
				}
				s.fail("tag %02X is missing", want.tag)
			},
		})
	}
	return tests
}

// value is a big-endian number of a few bytes.
func value(b []byte) int {
	n := 0
	for _, x := range b {
		n = (n<<8 | int(x)) & 0xFFFFFF
	}
	return n
}
