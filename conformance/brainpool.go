package conformance

import (
	"crypto/rand"
	"math/big"
	"slices"

	"github.com/simroot/simroot/iotsafe"
)

// brainpool is brainpoolP256r1 (RFC 5639, 3.4), which Go's library does not have. What the
// kit computes with it is public, so nothing here takes care of timing.
var brainpool = struct{ p, a, b, n *big.Int }{
	hexNumber("A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377"),
	hexNumber("7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9"),
	hexNumber("26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6"),
	hexNumber("A9FB57DBA1EEA9BC3E660A909D838D718C397AA3B561A6F7901E0E82974856A7"),
}

// brainpoolBase is the base point.
var brainpoolBase = &curvePoint{
	hexNumber("8BD2AEB9CB7E57CB2C4B482FFC81B7AFB9DE27E1E3BD23C23A4453BD9ACE3262"),
	hexNumber("547EF835C3DAC4FD97F8461A14611DC9C27745132DED8E545C1D54C72F046997"),
}

func hexNumber(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 16)
	return n
}

// curvePoint is a point of the curve; nil is the point at infinity.
type curvePoint struct{ x, y *big.Int }

// plus adds two points by the rules of school.
func (u *curvePoint) plus(v *curvePoint) *curvePoint {
	p := brainpool.p
	switch {
	case u == nil:
		return v
	case v == nil:
		return u
	}
	var slope *big.Int
	if u.x.Cmp(v.x) == 0 {
		if u.y.Cmp(v.y) != 0 || u.y.Sign() == 0 {
			return nil
		}
		slope = new(big.Int).Mul(u.x, u.x)
		slope.Mul(slope, big.NewInt(3)).Add(slope, brainpool.a)
		slope.Mul(slope, new(big.Int).ModInverse(new(big.Int).Lsh(u.y, 1), p))
	} else {
		dx := new(big.Int).Sub(v.x, u.x)
		slope = new(big.Int).Sub(v.y, u.y)
		slope.Mul(slope, new(big.Int).ModInverse(dx.Mod(dx, p), p))
	}
	slope.Mod(slope, p)
	x := new(big.Int).Mul(slope, slope)
	x.Sub(x, u.x).Sub(x, v.x).Mod(x, p)
	y := new(big.Int).Sub(u.x, x)
	y.Mul(y, slope).Sub(y, u.y).Mod(y, p)
	return &curvePoint{x, y}
}

// times multiplies a point.
func (u *curvePoint) times(k *big.Int) *curvePoint {
	var sum *curvePoint
	for i := k.BitLen() - 1; i >= 0; i-- {
		if sum = sum.plus(sum); k.Bit(i) == 1 {
			sum = sum.plus(u)
		}
	}
	return sum
}

// bytes is the uncompressed form of a point.
func (u *curvePoint) bytes() []byte {
	return append([]byte{0x04}, join(u.x, u.y)...)
}

// parseBrainpool reads an uncompressed point, nil if it is not on the curve.
func parseBrainpool(b []byte) *curvePoint {
	if len(b) != 65 || b[0] != 0x04 {
		return nil
	}
	x, y := halves(b[1:])
	right := new(big.Int).Mul(x, x)
	right.Add(right, brainpool.a).Mul(right, x).Add(right, brainpool.b).Mod(right, brainpool.p)
	left := new(big.Int).Mul(y, y)
	if x.Cmp(brainpool.p) >= 0 || y.Cmp(brainpool.p) >= 0 || left.Mod(left, brainpool.p).Cmp(right) != 0 {
		return nil
	}
	return &curvePoint{x, y}
}

// verifiesBrainpool tells whether r and s are a signature of a digest of 32 bytes.
func verifiesBrainpool(key *curvePoint, digest, signature []byte) bool {
	r, s := halves(signature)
	if r.Sign() == 0 || s.Sign() == 0 || r.Cmp(brainpool.n) >= 0 || s.Cmp(brainpool.n) >= 0 {
		return false
	}
	w := new(big.Int).ModInverse(s, brainpool.n)
	u1 := new(big.Int).Mul(new(big.Int).SetBytes(digest), w)
	u2 := new(big.Int).Mul(r, w)
	sum := brainpoolBase.times(u1.Mod(u1, brainpool.n)).plus(key.times(u2.Mod(u2, brainpool.n)))
	return sum != nil && new(big.Int).Mod(sum.x, brainpool.n).Cmp(r) == 0
}

// newBrainpool is a key of the host on the curve.
func newBrainpool() (d *big.Int, public *curvePoint) {
	d = must(rand.Int(rand.Reader, new(big.Int).Sub(brainpool.n, big.NewInt(1))))
	d.Add(d, big.NewInt(1))
	return d, brainpoolBase.times(d)
}

// brainpoolPair is an active pair on the curve with a function.
func (s *Session) brainpoolPair(f iotsafe.Function) (private, public iotsafe.Object, key *curvePoint) {
	private = s.pick(iotsafe.PrivateKey, "active pair on brainpoolP256r1 with the function and a readable public key", func(o iotsafe.Object) bool {
		public, ok := s.publicHalf(o)
		return onBrainpool(o) && o.Active && o.Functions&f != 0 && o.Usage == iotsafe.General && ok && public.Active && readable(public)
	})
	public, _ = s.publicHalf(private)
	point := s.pointData(s.ok(command(insReadPublicKey, 0, 0, id(public))))
	if key = parseBrainpool(point); key == nil {
		s.fail("the card's public key % X is no point of brainpoolP256r1", point)
	}
	return private, public, key
}

func onBrainpool(o iotsafe.Object) bool {
	return o.KeyType == iotsafe.BrainpoolP256Persist || o.KeyType == iotsafe.BrainpoolP256Volatile
}

var brainpoolTests = []Test{
	{
		ID: "3.13-brainpool", Chapter: "2.2, 3.13", Needs: []Need{Signing},
		Title: "A key on brainpoolP256r1 signs, and the signature verifies with its public key",
		run: func(s *Session) {
			private, _, key := s.brainpoolPair(iotsafe.Signing)
			for n := range 3 {
				digest := hashOf(iotsafe.SHA256, []byte{byte(n)})
				if signature := s.sign(private, digest); !verifiesBrainpool(key, digest, signature) {
					s.fail("the signature % X of % X does not verify", signature, digest)
				}
			}
		},
	},
	{
		ID: "3.14-brainpool", Chapter: "2.2, 3.14", Needs: []Need{Signing, Verification},
		Title: "A public key on brainpoolP256r1 verifies its own signatures and no others",
		run: func(s *Session) {
			private, public, _ := s.brainpoolPair(iotsafe.Signing)
			if public.Functions&iotsafe.Signing == 0 {
				s.skip("the public key does not verify (tag 61 bit 01)")
			}
			signature := s.sign(private, someDigest)
			s.accepts("a signature on brainpoolP256r1", public, someDigest, signature)
			s.rejects("a changed signature", public, someDigest, changed(signature, 40))
			s.rejects("another digest", public, changed(someDigest, 9), signature)
		},
	},
	{
		ID: "3.11-brainpool", Chapter: "2.2, 3.11", Needs: agreementNeeds, Destructive: true,
		Title: "Keys on brainpoolP256r1 agree on the secret that the host computes too",
		run: func(s *Session) {
			private, _, key := s.brainpoolPair(iotsafe.KeyAgreement)
			peer := s.brainpoolPeer()
			d, public := newBrainpool()
			s.ok(putInit(0, peer))
			s.ok(putUpdate(0, keyData(public.bytes())))
			want := make([]byte, halfSize)
			s.same("the shared secret", s.ok(dh(id(private), id(peer))), key.times(d).x.FillBytes(want))
		},
	},
	{
		ID: "3.11-brainpool-mixed", Chapter: "3.11", Needs: agreementNeeds, Destructive: true,
		Title: "Keys on different curves do not agree",
		run: func(s *Session) {
			private, _, _ := s.brainpoolPair(iotsafe.KeyAgreement)
			peer := s.peer(iotsafe.KeyAgreement)
			s.put(peer, &newKey().PublicKey)
			s.isError("COMPUTE DH with keys on two curves", s.do(dh(id(private), id(peer))))
		},
	},
	{
		ID: "3.10-brainpool", Chapter: "2.2, 3.10", Needs: []Need{TypeI, PutPublicKey}, Destructive: true,
		Title: "A container for brainpoolP256r1 takes a point of that curve and none of P-256",
		run: func(s *Session) {
			peer := s.brainpoolPeer()
			_, public := newBrainpool()
			flipped := slices.Clone(public.bytes())
			flipped[64] ^= 1
			for _, point := range [][]byte{pointOf(&newKey().PublicKey), flipped} {
				s.ok(putInit(0, peer))
				s.refused(putUpdate(0, keyData(point)), malformed...)
			}
			s.ok(putInit(0, peer))
			s.ok(putUpdate(0, keyData(public.bytes())))
			if readable(peer) {
				s.same("the key read back", s.ok(command(insReadPublicKey, 0, 0, id(peer))), keyData(public.bytes()))
			}
		},
	},
}

// brainpoolPeer is a container on the curve that a device may fill.
func (s *Session) brainpoolPeer() iotsafe.Object {
	return s.pick(iotsafe.PublicKey, "public key on brainpoolP256r1 that a device may put",
		func(o iotsafe.Object) bool { return onBrainpool(o) && updateable(o) })
}
