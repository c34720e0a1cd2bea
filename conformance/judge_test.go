package conformance_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/simroot/simroot/conformance"
	"github.com/simroot/simroot/vsim/applet/brainpool"
)

// The judge must be right himself.

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// RFC 7027, A.1: both sides of a key agreement on brainpoolP256r1.
func TestTheCurveIsThatOfRFC7027(t *testing.T) {
	const a = "81DB1EE100150FF2EA338D708271BE38300CB54241D79950F77B063039804F1D"
	const b = "55E40BC41E37E3E2AD25C3C6654511FFA8474A91A0032087593852D3E7D76BD3"
	pointA := conformance.BrainpoolBase.Times(a)
	if want := unhex(t, "04"+"44106E913F92BC02A1705D9953A8414DB95E1AAA49E81D9E85F929A8E3100BE5"+
		"8AB4846F11CACCB73CE49CBDD120F5A900A69FD32C272223F789EF10EB089BDC"); !bytes.Equal(pointA.Bytes(), want) {
		t.Errorf("A is %X", pointA.Bytes())
	}
	shared := conformance.BrainpoolBase.Times(b).Times(a)
	if want := unhex(t, "89AFC39D41D3B327814B80940B042590F96556EC91E6AE7939BCE31F3A18BF2B"); !bytes.Equal(shared.Bytes()[1:33], want) {
		t.Errorf("the secret is %X", shared.Bytes()[1:33])
	}
	if conformance.ParseBrainpool(pointA.Bytes()) == nil {
		t.Error("A is not read back")
	}
	off := pointA.Bytes()
	off[64] ^= 1
	if conformance.ParseBrainpool(off) != nil {
		t.Error("a point off the curve is read")
	}
}

func TestSignaturesOnTheCurveAreJudgedRightly(t *testing.T) {
	scalar, public, err := brainpool.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	digest := bytes.Repeat([]byte{0xA7}, 32)
	signature, err := brainpool.Sign(scalar, digest)
	if err != nil {
		t.Fatal(err)
	}
	key := conformance.ParseBrainpool(public)
	if !conformance.VerifiesOnCurve(key, digest, signature) {
		t.Error("a good signature is refused")
	}
	for at := range signature {
		bad := bytes.Clone(signature)
		bad[at] ^= 0x10
		if conformance.VerifiesOnCurve(key, digest, bad) {
			t.Errorf("a signature with byte %d changed is accepted", at)
		}
	}
	if conformance.VerifiesOnCurve(key, digest, make([]byte, 64)) {
		t.Error("zeros are accepted")
	}
}

func TestThePRFIsThatOfTLS12(t *testing.T) {
	conformance.PRFVectors(func(name string, got, want []byte) {
		if !bytes.Equal(got, want) {
			t.Errorf("%s: %X", name, got)
		}
	})
}

func TestPremasterSecretsHaveTheirLengths(t *testing.T) {
	if got := conformance.PremasterPSK([]byte{0xAA, 0xBB}); !bytes.Equal(got, unhex(t, "000200000002AABB")) {
		t.Errorf("RFC 4279: %X", got)
	}
	if got := conformance.PremasterECDHE([]byte{1, 2, 3}, []byte{0xAA}); !bytes.Equal(got, unhex(t, "00030102030001AA")) {
		t.Errorf("RFC 5489: %X", got)
	}
}
