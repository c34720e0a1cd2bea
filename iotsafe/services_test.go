package iotsafe

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
)

var (
	pointHex = "6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296" +
		"4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5" // P-256's base point
	digest32 = strings.Repeat("AB", 32)
	half     = strings.Repeat("11", 32)
)

func basePoint(t *testing.T) *ecdsa.PublicKey {
	t.Helper()
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, "04"+pointHex))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestVerifyIsTwoCommands(t *testing.T) {
	a, _ := settled(t,
		"812C0002 0D 850105 A10103 91020001 920104 > 9000",
		"812D8002 65 9E20"+digest32+"330040"+half+half+" > 9000",
		"812C0002 0D 850105 A10103 91020001 920104 > 9000",
		"812D8002 65 9E20"+digest32+"330040"+half+half+" > 6D01",
		"812C0102 > 9000", // closed after a failure
	)
	signature := unhex(t, half+half)
	if err := a.Verify(t.Context(), "\x05", ECDSAWithSHA256, unhex(t, digest32), signature); err != nil {
		t.Fatal(err)
	}
	err := a.Verify(t.Context(), "\x05", ECDSAWithSHA256, unhex(t, digest32), signature)
	if !errors.Is(err, apdu.SignatureMismatch) || Changed(err) {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"a short signature": func() error { return a.Verify(t.Context(), "1", ECDSAWithSHA256, unhex(t, digest32), signature[:63]) },
		"a short digest":    func() error { return a.Verify(t.Context(), "1", ECDSAWithSHA256, make([]byte, 20), signature) },
		"no identifier":     func() error { return a.Verify(t.Context(), "", ECDSAWithSHA256, unhex(t, digest32), signature) },
		"two hashes":        func() error { return a.VerifyText(t.Context(), "1", Scheme{ECDSA, 3}, nil, signature) },
		"two algorithms":    func() error { return a.VerifyText(t.Context(), "1", Scheme{5, SHA256}, nil, signature) },
	} {
		if f() == nil {
			t.Error(name)
		}
	}
}

func TestATextGoesOutWithTheLengthOfTheWhole(t *testing.T) {
	text := bytes.Repeat([]byte("a"), 300)
	a, _ := settled(t,
		"812A0001 0D 840101 A10101 91020001 920104 > 9000",
		"812B0001 FF 9B00012C"+strings.Repeat("61", 251)+" > 9000",
		"812B8001 31 "+strings.Repeat("61", 49)+"00 > 330040"+half+half+"9000",
	)
	if got, err := a.SignText(t.Context(), "\x01", ECDSAWithSHA256, text); err != nil || !bytes.Equal(got, unhex(t, half+half)) {
		t.Fatalf("%X, %v", got, err)
	}
}

func TestThePeersKeyIsPutAndAgreedWith(t *testing.T) {
	a, _ := settled(t,
		"81240002 03 850105 > 9000", "81D88002 47 34454943864104"+pointHex+" > 9000",
		"81460000 06 840104 850105 00 > "+half+"9000",
		"81460000 06 840104 850105 00 > 6985",
		"81460000 06 840104 850105 00 > "+strings.Repeat("00", 32)+"9000",
		"81240002 03 850105 > 6985", "81240102 > 6D00",
	)
	if err := a.PutPublicKey(t.Context(), "\x05", basePoint(t)); err != nil {
		t.Fatal(err)
	}
	if got, err := a.SharedSecret(t.Context(), "\x04", "\x05"); err != nil || !bytes.Equal(got, unhex(t, half)) {
		t.Fatalf("%X, %v", got, err)
	}
	if _, err := a.SharedSecret(t.Context(), "\x04", "\x05"); !errors.Is(err, apdu.ConditionsNot) || !strings.Contains(err.Error(), "not put") {
		t.Fatal(err)
	}
	if _, err := a.SharedSecret(t.Context(), "\x04", "\x05"); err == nil {
		t.Fatal("zeros were taken for a secret")
	}
	if err := a.PutPublicKey(t.Context(), "\x05", basePoint(t)); !errors.Is(err, apdu.ConditionsNot) {
		t.Fatal(err)
	}
	if err := a.PutPublicKey(t.Context(), "\x05", "a string"); err == nil {
		t.Fatal("put")
	}
}

func TestAnAppletWithoutServicesIsNoError(t *testing.T) {
	for _, sw := range []string{"6A86", "6D00", "6A80"} {
		a, _ := settled(t, "81CBF00000 > "+sw)
		if s, err := a.Services(t.Context()); err != nil || s != (Services{}) {
			t.Fatalf("%+v, %v", s, err)
		}
	}
	a, _ := settled(t, "81CBF00000 > cut")
	if _, err := a.Services(t.Context()); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	a, _ = settled(t, "815A0002 04 91020001 > 6D00", "815A0102 > 6D00")
	if _, err := a.Digest(t.Context(), SHA256, nil); !errors.Is(err, apdu.InstructionNot) || !strings.Contains(err.Error(), "does not offer") {
		t.Fatal(err)
	}
}

func TestAnswersOfTheWrongSizeAreNotTaken(t *testing.T) {
	a, _ := settled(t,
		"81480100 09 860101 D20161 D30110 00 > 0011 9000",
		"814A0000 29 D120"+strings.Repeat("00", 32)+"D50161 91020001 00 > 9000",
		"815A0002 04 91020001 > 9000", "815B8002 01 6100 > 00 9000",
		"815C0002 06 860101 A30101 > 9000", "815D8002 01 6100 > 00 9000",
	)
	if _, err := a.PRFPSK(t.Context(), "\x01", "a", nil, 16); err == nil {
		t.Error("PRF")
	}
	if _, err := a.HKDFExtract(t.Context(), SHA256, nil, []byte("a")); err == nil {
		t.Error("HKDF")
	}
	if _, err := a.Digest(t.Context(), SHA256, []byte("a")); err == nil {
		t.Error("hash")
	}
	if _, err := a.Encrypt(t.Context(), "\x01", AESGCM, []byte("a"), nil); err == nil {
		t.Error("encrypt")
	}
}

func TestPublicKeyDataOfEveryKindComesBack(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	off := unhex(t, "04"+pointHex)
	off[64] ^= 1
	for _, key := range []interface{ Equal(crypto.PublicKey) bool }{basePoint(t), &rsaKey.PublicKey, Point(off)} {
		data, err := AppendAnyPublicKey(nil, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseAnyPublicKey(data)
		if err != nil || !key.Equal(got) {
			t.Fatalf("%T, %v", got, err)
		}
	}
	for _, bad := range []any{nil, (*ecdsa.PublicKey)(nil), (*rsa.PublicKey)(nil), &rsa.PublicKey{}, Point{4}, "key"} {
		if _, err := AppendAnyPublicKey(nil, bad); err == nil {
			t.Errorf("%T", bad)
		}
	}
	for name, s := range map[string]string{
		"nothing": "", "another tag": "35024900", "two fields": "34024900 34024900", "another template": "34024800",
		"an even modulus": "34 820109 49 820105 81 820100" + strings.Repeat("FE", 256) + "820101",
		"a short modulus": "3409 4907 810201FF 820103", "a compressed point": "3427 4925 8623 02" + digest32 + "0000",
	} {
		if key, err := ParseAnyPublicKey(unhex(t, s)); err == nil {
			t.Errorf("%s: %T", name, key)
		}
	}
}

func FuzzParseAnyPublicKey(f *testing.F) {
	f.Add(unhex(f, "34454943864104"+pointHex))
	f.Add(unhex(f, "04"+pointHex))
	f.Add(unhex(f, "3409 4907 810201FF 820103"))
	f.Fuzz(func(t *testing.T, b []byte) {
		key, err := ParseAnyPublicKey(b)
		if err != nil {
			return
		}
		if _, err := AppendAnyPublicKey(nil, key); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseServices(f *testing.F) {
	f.Add(unhex(f, "10010191020007A30107B8020400"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseServices(b)
		if err != nil {
			return
		}
		if again, err := ParseServices(s.Append(nil)); err != nil || again != s {
			t.Fatalf("%+v, %+v, %v", s, again, err)
		}
	})
}
