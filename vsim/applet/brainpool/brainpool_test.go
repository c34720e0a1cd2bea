package brainpool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 7027, appendix A.1.
func TestTheVectorsOfRFC7027(t *testing.T) {
	privateA := unhex(t, "81DB1EE100150FF2EA338D708271BE38300CB54241D79950F77B063039804F1D")
	publicA := unhex(t, "0444106E913F92BC02A1705D9953A8414DB95E1AAA49E81D9E85F929A8E3100BE5"+
		"8AB4846F11CACCB73CE49CBDD120F5A900A69FD32C272223F789EF10EB089BDC")
	privateB := unhex(t, "55E40BC41E37E3E2AD25C3C6654511FFA8474A91A0032087593852D3E7D76BD3")
	publicB := unhex(t, "048D2D688C6CF93E1160AD04CC4429117DC2C41825E1E9FCA0ADDD34E6F1B39F7B"+
		"990C57520812BE512641E47034832106BC7D3E8DD0E4C7F1136D7006547CEC6A")
	secret := unhex(t, "89AFC39D41D3B327814B80940B042590F96556EC91E6AE7939BCE31F3A18BF2B")
	for _, c := range []struct{ private, own, peer []byte }{{privateA, publicA, publicB}, {privateB, publicB, publicA}} {
		public, err := PublicKey(c.private)
		if err != nil || !bytes.Equal(public, c.own) {
			t.Errorf("%X, %v", public, err)
		}
		got, err := SharedSecret(c.private, c.peer)
		if err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%X, %v", got, err)
		}
	}
}

func TestTheBasePointHasTheOrderOfTheCurve(t *testing.T) {
	if err := CheckPoint(base.bytes()); err != nil {
		t.Fatal(err)
	}
	if !base.times(q).isInfinity() {
		t.Fatal("q times the base point is not infinity")
	}
	if !base.add(base.times(new(big.Int).Sub(q, big.NewInt(1)))).isInfinity() {
		t.Fatal("a point and its opposite do not add up to infinity")
	}
	if got, want := base.add(base).bytes(), base.double().bytes(); !bytes.Equal(got, want) {
		t.Fatal("u + u is not 2u")
	}
}

func TestSignaturesVerifyAndNothingElseDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		private, public, err := GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		digest := rapid.SliceOfN(rapid.Byte(), 32, 64).Draw(t, "digest")
		signature, err := Sign(private, digest)
		if err != nil {
			t.Fatal(err)
		}
		if !Verify(public, digest, signature) || !Verify(public, digest[:32], signature) {
			t.Fatal("a signature does not verify")
		}
		bit := rapid.IntRange(0, 8*64-1).Draw(t, "bit")
		signature[bit/8] ^= 1 << (bit % 8)
		if Verify(public, digest, signature) {
			t.Fatal("a forged signature verifies")
		}
	})
}

func TestSignaturesOutOfRangeDoNotVerify(t *testing.T) {
	private, public, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	good, err := Sign(private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	order := q.FillBytes(make([]byte, Size))
	high := new(big.Int).Sub(q, new(big.Int).SetBytes(good[Size:])).FillBytes(make([]byte, Size))
	zero := make([]byte, Size)
	for name, c := range map[string]struct {
		signature []byte
		want      bool
	}{
		"r zero":      {append(bytes.Clone(zero), good[Size:]...), false},
		"s zero":      {append(bytes.Clone(good[:Size]), zero...), false},
		"r the order": {append(bytes.Clone(order), good[Size:]...), false},
		"s the order": {append(bytes.Clone(good[:Size]), order...), false},
		"opposite s":  {append(bytes.Clone(good[:Size]), high...), true},
		"short":       {good[:63], false},
	} {
		if Verify(public, digest[:], c.signature) != c.want {
			t.Error(name)
		}
	}
}

func TestWhatIsNoPointAndNoKeyIsRefused(t *testing.T) {
	good := base.bytes()
	off := bytes.Clone(good)
	off[64] ^= 1
	large := bytes.Clone(good)
	copy(large[1:33], p.Bytes())
	for name, b := range map[string][]byte{
		"off the curve": off, "x not reduced": large, "compressed": append([]byte{0x02}, good[1:33]...), "infinity": {0}, "nothing": nil,
		"hybrid": append([]byte{0x06}, good[1:]...), "zeros": append([]byte{0x04}, make([]byte, 64)...), "too long": append(bytes.Clone(good), 0),
	} {
		if CheckPoint(b) == nil {
			t.Error(name)
		}
		if _, err := SharedSecret(bytes.Repeat([]byte{1}, Size), b); err == nil {
			t.Error(name)
		}
	}
	for name, b := range map[string][]byte{"zero": make([]byte, Size), "the order": q.Bytes(), "short": {1}} {
		if _, err := PublicKey(b); err == nil {
			t.Error(name)
		}
		if _, err := Sign(b, make([]byte, 32)); err == nil {
			t.Error(name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(base.bytes(), make([]byte, 32), make([]byte, 64))
	f.Fuzz(func(t *testing.T, public, digest, signature []byte) { Verify(public, digest, signature) })
}
