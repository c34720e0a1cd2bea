package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"

	"github.com/simroot/simroot/iotsafe"
)

// pair is a key pair of the card.
type pair struct {
	private, public iotsafe.Object
	key             *ecdsa.PublicKey
}

// p256 tells that an object is a key on P-256.
func p256(o iotsafe.Object) bool {
	return o.KeyType == iotsafe.P256Persistent || o.KeyType == iotsafe.P256Volatile
}

func readable(o iotsafe.Object) bool   { return o.Access&iotsafe.Readable != 0 }
func updateable(o iotsafe.Object) bool { return o.Access&iotsafe.Updateable != 0 }

// publicHalf is the public key that belongs to a private key: the one with its label, and
// of several the one with its identifier.
func (s *Session) publicHalf(private iotsafe.Object) (public iotsafe.Object, ok bool) {
	for _, o := range s.objects() {
		if o.Kind != iotsafe.PublicKey || o.Label != private.Label {
			continue
		}
		if o.ID == private.ID {
			return o, true
		}
		if !ok && private.Label != "" {
			public, ok = o, true
		}
	}
	return public, ok
}

// signing is an active key pair that makes ECDSA signatures over anything, with a public
// half that can be read. If none is active, and keys may be changed, one is made.
func (s *Session) signing() pair { return s.pairFor(iotsafe.Signing, "sign") }

// agreeing is an active key pair for key agreement.
func (s *Session) agreeing() pair { return s.pairFor(iotsafe.KeyAgreement, "agree on keys") }

// pairFor finds a key pair with a function.
func (s *Session) pairFor(f iotsafe.Function, verb string) pair {
	var empty *pair
	for _, private := range s.objects() {
		if private.Kind != iotsafe.PrivateKey || !p256(private) || private.Functions&f == 0 ||
			f == iotsafe.Signing && (private.Usage != iotsafe.General || private.Signatures&iotsafe.ECDSA == 0) {
			continue
		}
		public, ok := s.publicHalf(private)
		switch {
		case !ok || !readable(public):
		case private.Active && public.Active:
			return pair{private, public, s.readKey(public)}
		case empty == nil && generable(private, public):
			empty = &pair{private: private, public: public}
		}
	}
	if empty != nil && s.options.Destructive {
		empty.key = s.generate(empty.private).key
		s.listed = nil
		return *empty
	}
	s.skip("the card has no active P-256 key pair that can %s, with a readable public key", verb)
	return pair{}
}

// generable tells that the device may make a pair in these containers.
func generable(private, public iotsafe.Object) bool {
	return p256(private) && private.Functions&iotsafe.KeyGeneration != 0 &&
		public.Functions&iotsafe.KeyGeneration != 0 && readable(public)
}

// readKey reads a public key.
func (s *Session) readKey(o iotsafe.Object) *ecdsa.PublicKey {
	data := s.ok(command(insReadPublicKey, 0, 0, id(o)))
	return s.parseKey(data)
}

// parseKey reads public key data with a point of P-256.
func (s *Session) parseKey(data []byte) *ecdsa.PublicKey {
	point := s.pointData(data)
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		s.fail("the card's public key % X is no point of P-256", point)
	}
	return key
}

// pointData is the point in public key data of the form of chapter 3.12.
func (s *Session) pointData(data []byte) []byte {
	const head = "\x34\x45\x49\x43\x86\x41"
	if len(data) != len(head)+65 || string(data[:len(head)]) != head {
		s.fail("public key data is % X, want 34 45 49 43 86 41 and a point of 65 bytes", data)
	}
	return data[len(head):]
}

// generated is what GENERATE KEY PAIR answers.
type generated struct {
	private, public []byte // identifiers
	key             *ecdsa.PublicKey
}

// generate makes a key pair in the containers of a private key.
func (s *Session) generate(private iotsafe.Object) generated {
	return s.parseGenerated(s.ok(command(insGenerate, 0, 0, id(private))))
}

func (s *Session) parseGenerated(data []byte) (g generated) {
	rest := data
	for _, want := range []struct {
		tag byte
		id  *[]byte
	}{{iotsafe.PrivateKey.IDTag(), &g.private}, {iotsafe.PublicKey.IDTag(), &g.public}} {
		if len(rest) < 2 || rest[0] != want.tag || len(rest) < 2+int(rest[1]) {
			s.fail("GENERATE KEY PAIR answered % X, want 84 (private ID), 85 (public ID), 34 (public key), in this order", data)
		}
		*want.id, rest = rest[2:2+int(rest[1])], rest[2+int(rest[1]):]
	}
	g.key = s.parseKey(rest)
	return g
}

// peer is a public key container that a device may fill, for a function.
func (s *Session) peer(f iotsafe.Function) iotsafe.Object {
	return s.pick(iotsafe.PublicKey, "P-256 public key that a device may put, with the function in question (tag 60 bit 02, tag 61)",
		func(o iotsafe.Object) bool { return updateable(o) && p256(o) && o.Functions&f != 0 })
}

// newKey is a key of the host's own.
func newKey() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
}

// keyData is public key data (tag 34) with any point.
func keyData(point []byte) []byte {
	return field(iotsafe.TagPublicKey, field(0x49, field(0x86, point...)...)...)
}

func pointOf(key *ecdsa.PublicKey) []byte { return must(key.Bytes()) }

// put puts a public key into a container.
func (s *Session) put(o iotsafe.Object, key *ecdsa.PublicKey) {
	s.ok(command(insPutInit, p1Open, 0, id(o)))
	s.ok(command(insPutUpdate, p1Last, 0, keyData(pointOf(key))))
}
