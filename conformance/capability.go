package conformance

import (
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// Need is something that a card may or may not offer.
type Need string

// Needs of tests.
const (
	TypeI         Need = "Type I"
	Signing       Need = "ECDSA signatures"
	SHA384        Need = "SHA-384"
	SHA512        Need = "SHA-512"
	RSASigning    Need = "RSA signatures"
	KeyGeneration Need = "key generation"
	KeyAgreement  Need = "key agreement"
	PRF           Need = "the PRF of TLS 1.2"
	HKDF          Need = "HKDF"
	Verification  Need = "VERIFY SIGNATURE"
	PutPublicKey  Need = "PUT PUBLIC KEY"
	KnownSecret   Need = "a secret key with a known value"
	Channels      Need = "logical channels"
)

// capabilities is what the card says of itself.
type capabilities struct {
	info      iotsafe.Info
	infoKnown bool
	without   map[byte]bool // instructions that it answers 6D00
}

// discover reads what the applet offers. A card that does not say keeps the tests that
// depend on it from running; other tests find the fault.
func (s *Session) discover() {
	s.told.without = map[byte]bool{}
	if r := s.do(command(insGetData, 0, 0).le(apdu.MaxLe)); r.SW.Succeeded() {
		if info, err := iotsafe.ParseInfo(r.Data); err == nil {
			s.told.info, s.told.infoKnown = info, true
		}
	}
	for _, ins := range []byte{insPutInit, insSignInit, insVerifyInit} {
		// Closing what is not open harms nothing.
		s.told.without[ins] = s.do(command(ins, p1Close, 0)).SW == apdu.InstructionNot
	}
	// The first command on an object may report that remote administration has touched
	// it (63CF, 6989). Nothing later does.
	s.listed = nil
	for _, o := range s.objects() {
		s.do(getData(o.Kind, id(o)))
	}
}

func (s *Session) cardType() string {
	switch {
	case !s.told.infoKnown:
		return ""
	case s.told.info.TypeII():
		return "II"
	}
	return "I"
}

// lacks tells why the card does not offer what a test needs; "" if it does.
func (s *Session) lacks(n Need) string {
	i := s.told.info
	if !s.told.infoKnown && n != Channels && n != KnownSecret {
		return "the card does not tell what it offers: see the tests of chapter 3.3"
	}
	function := func(f iotsafe.Function, also bool) string {
		if i.Functions&f == 0 || !also {
			return fmt.Sprintf("the card says that it does not offer %s (tags 90 to 94)", n)
		}
		return ""
	}
	instruction := func(ins byte) string {
		if s.told.without[ins] {
			return fmt.Sprintf("the card answers 6D00 to %s", names[ins])
		}
		return ""
	}
	switch n {
	case TypeI:
		if i.TypeII() {
			return "the applet is of Type II: it has no asymmetric keys"
		}
	case Signing:
		return function(iotsafe.Signing, i.Signatures&iotsafe.ECDSA != 0)
	case SHA384:
		return function(iotsafe.Signing, i.Hashes&iotsafe.SHA384 != 0)
	case SHA512:
		return function(iotsafe.Signing, i.Hashes&iotsafe.SHA512 != 0)
	case RSASigning:
		return function(iotsafe.Signing, i.Signatures&(iotsafe.RSAPKCS1v15|iotsafe.RSAPSS) != 0)
	case KeyGeneration:
		return function(iotsafe.KeyGeneration, true)
	case KeyAgreement:
		return function(iotsafe.KeyAgreement, i.KeyAgreement&iotsafe.ECKA != 0)
	case PRF:
		return function(iotsafe.KeyDerivation, i.Derivations&iotsafe.PRFSHA256 != 0)
	case HKDF:
		return function(iotsafe.KeyDerivation, i.Derivations&iotsafe.HKDF != 0)
	case Verification:
		return instruction(insVerifyInit)
	case PutPublicKey:
		return instruction(insPutInit)
	case KnownSecret:
		if s.options.SecretID == "" {
			return "no secret key with a known value was named (--psk-id, --psk-hex)"
		}
	case Channels:
		if !s.opened {
			return "the card gives no logical channels"
		}
	}
	return ""
}

// objects is the list of objects as the card gives it, as far as it can be read; the tests
// of chapter 3.4 judge its form.
func (s *Session) objects() []iotsafe.Object {
	if s.listed != nil {
		return s.listed
	}
	s.listed = []iotsafe.Object{}
	for _, part := range s.listParts() {
		for len(part) >= 2 && len(part) >= 2+int(part[1]) {
			entry := part[:2+int(part[1])]
			part = part[len(entry):]
			if o, err := iotsafe.ParseObject(iotsafe.Kind(entry[0]), entry); err == nil {
				s.listed = append(s.listed, o)
			}
		}
	}
	return s.listed
}

// listParts reads the list of objects in the parts in which it comes.
func (s *Session) listParts() [][]byte {
	c := command(insGetData, 0x01, 0x00).le(apdu.MaxLe)
	var parts [][]byte
	for range maxRounds {
		r := s.do(c)
		if r.SW != apdu.MoreData && !r.SW.Succeeded() {
			break
		}
		parts = append(parts, r.Data)
		if r.SW != apdu.MoreData {
			break
		}
		c.P2 = 0x01
	}
	return parts
}

// find is the first object that has what a test needs; ok is false if there is none.
func (s *Session) find(kind iotsafe.Kind, has func(iotsafe.Object) bool) (o iotsafe.Object, ok bool) {
	for _, o := range s.objects() {
		if o.Kind == kind && has(o) {
			return o, true
		}
	}
	return iotsafe.Object{}, false
}

// pick is find for tests that make no sense without such an object.
func (s *Session) pick(kind iotsafe.Kind, what string, has func(iotsafe.Object) bool) iotsafe.Object {
	o, ok := s.find(kind, has)
	if !ok {
		s.skip("the card has no %s", what)
	}
	return o
}

// unknown is a field with an identifier of n bytes that names no object of the kind.
func (s *Session) unknown(kind iotsafe.Kind, n int) []byte {
	used := map[iotsafe.ID]bool{}
	for _, o := range s.objects() {
		if o.Kind == kind {
			used[o.ID] = true
		}
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = 0xEE
	}
	for n > 0 && used[iotsafe.ID(b)] && b[n-1] > 0 {
		b[n-1]--
	}
	return field(kind.IDTag(), b...)
}
