package applet_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
)

// The key of RFC 6979, A.2.5, and signatures of "sample" with it.
const (
	rfc6979X = "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
	rfc6979Y = "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"

	rfc6979SHA256 = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716" +
		"F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
	rfc6979SHA384 = "0EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719" +
		"4861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954"
	rfc6979SHA512 = "8496A60B5E9B47C825488827E0495B0E3FA109EC4568FD3F8D1097678EB97F00" +
		"2362AB1ADBE2B8ADF9CB9EDAB740EA6049C028114F2460F96554F61FAE3302FE"
)

var allHashes = iotsafe.SHA256 | iotsafe.SHA384 | iotsafe.SHA512

// holding makes a SIM whose containers have the given contents, active.
func holding(t testing.TB, typ int, contents map[perso.Ref][]byte, objects ...iotsafe.Object) *sim {
	t.Helper()
	state, err := applet.NewState(typ, objects...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range state.Objects {
		c := &state.Objects[i]
		if b := contents[ref(c.Object.Kind, c.Object.ID)]; b != nil {
			c.Content, c.Object.Active = b, true
		}
	}
	s := &sim{t: t}
	s.start(state)
	return s
}

// verifierSIM holds the public key of RFC 6979 in container 05.
func verifierSIM(t testing.TB) *sim {
	t.Helper()
	o := publicKey("\x05", "peer")
	o.Hashes = allHashes
	return holding(t, 1, map[perso.Ref][]byte{ref(iotsafe.PublicKey, "\x05"): unhex(t, "04"+rfc6979X+rfc6979Y)}, o)
}

// session sends INIT and UPDATEs in class 8n, session 01, and returns the answer to the
// last.
func (s *sim) session(init byte, parameters string, updates ...string) string {
	s.t.Helper()
	p := unhex(s.t, parameters)
	if got := s.say(fmt.Sprintf("81%02X0001%02X%X", init, len(p), p)); got != "9000" || len(updates) == 0 {
		return got
	}
	update := init + 1
	if init == 0x24 {
		update = 0xD8
	}
	for i, u := range updates {
		b, p1 := unhex(s.t, u), 0x00
		if i == len(updates)-1 {
			p1 = 0x80
		}
		command := fmt.Sprintf("81%02X%02X01", update, p1)
		if len(b) > 0 {
			command += fmt.Sprintf("%02X%X", len(b), b)
		}
		if p1 == 0x80 {
			command += "00"
		}
		got := s.say(command)
		if i == len(updates)-1 || got != "9000" {
			return s.rest(got)
		}
	}
	return ""
}

// rest fetches what waits behind 61xx.
func (s *sim) rest(got string) string {
	s.t.Helper()
	for len(got) >= 4 && got[len(got)-4:len(got)-2] == "61" {
		got = got[:len(got)-4] + s.say("81C0000000")
	}
	return got
}

func TestE7VerifyAsWolfSSLDoes(t *testing.T) {
	s := verifierSIM(t)
	s.open()
	digest := sha256.Sum256([]byte("sample"))
	s.expect("812C00010D850105A1010391020001920104", "9000")
	s.expect(fmt.Sprintf("812D8001659E20%X330040%s", digest, rfc6979SHA256), "9000")
	s.expect("812C010100", "9000")
	// A length of one byte, as Orange sends it, and no Le with the close.
	s.expect("012C0101", "9000")
	s.expect("012C00010D850105A1010391020001920104", "9000")
	s.expect(fmt.Sprintf("012D8001649E20%X3340%s", digest, rfc6979SHA256), "9000")
	s.expect("012C00010D850105A1010391020001920104", "9000")
	digest[0] ^= 1
	s.expect(fmt.Sprintf("012D8001649E20%X3340%s", digest, rfc6979SHA256), "6D01")
	s.expect(fmt.Sprintf("012D8001649E20%X3340%s", digest, rfc6979SHA256), "6985") // it has ended
}

func TestE20AShortTextIsVerified(t *testing.T) {
	s := verifierSIM(t)
	s.open()
	want := "6D01" // well-formed, but not what was signed
	for _, text := range []string{"9B050000863340", "9B0000050000863340", "9B81050000863340"} {
		if got := s.session(0x2C, "850105 A10101 91020001 920104", text+"330040"+rfc6979SHA256); got != want {
			t.Fatalf("%s: %s", text, got)
		}
	}
}

func TestRFC6979SignaturesVerifyInFullText(t *testing.T) {
	s := verifierSIM(t)
	s.open()
	text := fmt.Sprintf("%X", "sample")
	for hash, signature := range map[string]string{"0001": rfc6979SHA256, "0002": rfc6979SHA384, "0004": rfc6979SHA512} {
		parameters := "850105 A10101 9102" + hash + " 920104"
		for name, updates := range map[string][]string{
			"one-byte length":             {"9B06" + text + "330040" + signature},
			"three-byte length":           {"9B000006" + text + "330040" + signature},
			"BER length":                  {"9B8106" + text + "3340" + signature},
			"signature by itself":         {"9B06" + text, "330040" + signature},
			"length of the whole first":   {"9B000006", text[:4], text[4:] + "330040" + signature},
			"length of the whole, BER":    {"9B820006" + text[:2], text[2:], "3340" + signature},
			"length of the whole, short":  {"9B06" + text[:6], text[6:] + "3340" + signature},
			"a field in each":             {"9B02" + text[:4], "9B02" + text[4:8], "9B02" + text[8:] + "330040" + signature},
			"a signature cut in two":      {"9B06" + text + "330040" + signature[:20], signature[20:]},
			"a signature in two fields":   {"9B06" + text, "330020" + signature[:64], "330020" + signature[64:]},
			"an empty field at the start": {"9B00", "9B06" + text + "3340" + signature},
		} {
			if got := s.session(0x2C, parameters, updates...); got != "9000" {
				t.Errorf("%s, hash %s: %s", name, hash, got)
			}
		}
		if got := s.session(0x2C, parameters, "9B06"+text[:10]+"66"+"330040"+signature); got != "6D01" {
			t.Errorf("another text, hash %s: %s", hash, got)
		}
	}
}

func TestMalformedVerificationsAreRefused(t *testing.T) {
	s := verifierSIM(t)
	s.open()
	digest := fmt.Sprintf("9E20%X", sha256.Sum256([]byte("sample")))
	good := "330040" + rfc6979SHA256
	for name, c := range map[string]struct{ mode, data, want string }{
		"no signature":             {"03", digest, "6A80"},
		"no digest":                {"03", good, "6A80"},
		"two digests":              {"03", digest + digest + good, "6A80"},
		"a short signature":        {"03", digest + "33003F" + rfc6979SHA256[2:], "6A80"},
		"a long signature":         {"03", digest + "330041" + rfc6979SHA256 + "00", "6A80"},
		"a signature in DER":       {"03", digest + "3308 3006 020101 020101", "6A80"},
		"a short digest":           {"03", "9E1F" + digest[6:] + good, "6A80"},
		"something else":           {"03", digest + good + "9D0100", "6A80"},
		"a text in mode 03":        {"03", "9B06" + "73616D706C65" + good, "6A80"},
		"a digest in mode 01":      {"01", digest + good, "6A80"},
		"a text without signature": {"01", "9B0673616D706C65", "6A80"},
		"a text cut short":         {"01", "9B000007 73616D706C65", "6A80"},
		"nothing":                  {"01", "", "6A80"},
		"the tag alone":            {"01", "9B", "6A80"},
		"a text too long":          {"01", "9B000002 73616D706C65", "6A80"},
	} {
		if got := s.session(0x2C, "850105 A101"+c.mode+" 91020001 920104", c.data); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Edge cases of ECDSA verification in the manner of Project Wycheproof.
func TestEdgeCasesOfECDSAVerification(t *testing.T) {
	s := verifierSIM(t)
	s.open()
	digest := sha256.Sum256([]byte("sample"))
	r, sig := unhex(t, rfc6979SHA256)[:32], unhex(t, rfc6979SHA256)[32:]
	order := elliptic.P256().Params().N
	number := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }
	zero, one, all := make([]byte, 32), number(big.NewInt(1)), bytes.Repeat([]byte{0xFF}, 32)
	plus := func(b []byte) []byte { // the same modulo the order, if it fits
		n := new(big.Int).Add(new(big.Int).SetBytes(b), order)
		if n.BitLen() > 256 {
			return all
		}
		return number(n)
	}
	for name, c := range map[string]struct {
		r, s []byte
		want string
	}{
		"as published":     {r, sig, "9000"},
		"opposite s":       {r, number(new(big.Int).Sub(order, new(big.Int).SetBytes(sig))), "9000"},
		"r zero":           {zero, sig, "6D01"},
		"s zero":           {r, zero, "6D01"},
		"both zero":        {zero, zero, "6D01"},
		"both one":         {one, one, "6D01"},
		"r the order":      {number(order), sig, "6D01"},
		"s the order":      {r, number(order), "6D01"},
		"r beyond order":   {plus(r), sig, "6D01"},
		"s beyond order":   {r, plus(sig), "6D01"},
		"all bits":         {all, all, "6D01"},
		"r and s swapped":  {sig, r, "6D01"},
		"r one, s of hash": {one, digest[:], "6D01"},
	} {
		data := fmt.Sprintf("9E20%X330040%X%X", digest, c.r, c.s)
		if got := s.session(0x2C, "850105 A10103 91020001 920104", data); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestSignaturesWithLeadingZerosVerify(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	s := holding(t, 1, map[perso.Ref][]byte{ref(iotsafe.PublicKey, "\x05"): point}, publicKey("\x05", "peer"))
	s.open()
	digest := sha256.Sum256(nil)
	seen := map[string]bool{}
	for len(seen) < 2 {
		r, sig, err := ecdsa.Sign(rand.Reader, key, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		if r.BitLen() <= 248 {
			seen["r"] = true
		} else if sig.BitLen() <= 248 {
			seen["s"] = true
		} else {
			continue
		}
		data := fmt.Sprintf("9E20%X330040%064X%064X", digest, r, sig)
		if got := s.session(0x2C, "850105 A10103 91020001 920104", data); got != "9000" {
			t.Fatal(got)
		}
	}
}

// rsaSIM holds an RSA pair 01, made for the test.
func rsaSIM(t testing.TB) (*sim, *rsa.PrivateKey) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := holding(t, 1, map[perso.Ref][]byte{
		ref(iotsafe.PrivateKey, "\x01"): x509.MarshalPKCS1PrivateKey(key),
		ref(iotsafe.PublicKey, "\x01"):  x509.MarshalPKCS1PublicKey(&key.PublicKey),
	}, typed(privateKey("\x01", "rsa"), iotsafe.RSA2048), updateable(typed(publicKey("\x01", "rsa"), iotsafe.RSA2048)))
	return s, key
}

func TestRSASignaturesOfEverySchemeAndMode(t *testing.T) {
	s, key := rsaSIM(t)
	c := s.client()
	ctx := t.Context()
	if got, err := c.AnyPublicKey(ctx, "\x01"); err != nil || !key.PublicKey.Equal(got) {
		t.Fatalf("%T, %v", got, err)
	}
	text := bytes.Repeat([]byte("no card has heard of this. "), 40)
	for _, algorithm := range []iotsafe.SignatureAlgorithm{iotsafe.RSAPKCS1v15, iotsafe.RSAPSS} {
		for _, hash := range []iotsafe.Hash{iotsafe.SHA256, iotsafe.SHA384, iotsafe.SHA512} {
			scheme := iotsafe.Scheme{Algorithm: algorithm, Hash: hash}
			h := hash.Func().New()
			h.Write(text)
			digest := h.Sum(nil)
			check := func(signature []byte, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				if algorithm == iotsafe.RSAPSS {
					err = rsa.VerifyPSS(&key.PublicKey, hash.Func(), digest, signature, &rsa.PSSOptions{SaltLength: hash.Func().Size()})
				} else {
					err = rsa.VerifyPKCS1v15(&key.PublicKey, hash.Func(), digest, signature)
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := c.Verify(ctx, "\x01", scheme, digest, signature); err != nil {
					t.Fatal(err)
				}
				if err := c.VerifyText(ctx, "\x01", scheme, text, signature); err != nil {
					t.Fatal(err)
				}
				signature[100] ^= 1
				if err := c.Verify(ctx, "\x01", scheme, digest, signature); !errors.Is(err, apdu.SignatureMismatch) {
					t.Fatal(err)
				}
			}
			check(c.SignDigest(ctx, "\x01", scheme, digest))
			check(c.SignText(ctx, "\x01", scheme, text))
		}
	}
	// For RSA the digest has to be that of the hash.
	s.open2()
	for _, c := range []struct{ parameters, want string }{
		{"840101 A10103 91020001 920101", "6A80"}, // 48 bytes for SHA-256
		{"840101 A10103 920101", "6A80"},          // no hash
	} {
		if got := s.session(0x2A, c.parameters, "9E30"+strings.Repeat("00", 48)); got != c.want {
			t.Errorf("%s: %s", c.parameters, got)
		}
	}
	if got := s.session(0x2A, "840101 A10103 91020001 920104", "9E20"+digestHex); got != "6985" {
		t.Error("ECDSA with an RSA key:", got)
	}
}

// open2 selects on channel 1 whether somebody has opened it or not.
func (s *sim) open2() {
	s.t.Helper()
	s.expect("01A4040007A0000005590010", "9000")
}

func TestAnRSAPairIsGeneratedByTheDeviceOnly(t *testing.T) {
	s, old := rsaSIM(t)
	c := s.client()
	pair, err := c.GenerateAnyKeyPair(t.Context(), "\x01")
	if err != nil {
		t.Fatal(err)
	}
	made, ok := pair.AnyKey.(*rsa.PublicKey)
	if !ok || made.Equal(&old.PublicKey) || pair.Key != nil || made.N.BitLen() != 2048 {
		t.Fatalf("%+v", pair)
	}
	s.powerCycle()
	c = s.client()
	digest := sha256.Sum256(nil)
	signature, err := c.SignDigest(t.Context(), "\x01", iotsafe.Scheme{Algorithm: iotsafe.RSAPKCS1v15, Hash: iotsafe.SHA256}, digest[:])
	if err != nil || rsa.VerifyPKCS1v15(made, crypto.SHA256, digest[:], signature) != nil {
		t.Fatal(err)
	}
	if _, err := c.GenerateKeyPair(t.Context(), "\x01"); err == nil {
		t.Fatal("an RSA key was taken for one on P-256")
	}
	if sw := s.refused(perso.Generate{Private: "\x01", Public: "\x01"}); sw != apdu.FunctionNotSupported {
		t.Fatal(sw)
	}
	if sw := s.refused(perso.Prove{Ref: ref(iotsafe.PrivateKey, "\x01")}); sw != apdu.FunctionNotSupported {
		t.Fatal(sw)
	}
	states := s.personalize(perso.ReadState{})[0].(perso.StateAnswer).Objects
	if len(states) != 2 || states[0].Digest != states[1].Digest || !states[0].Filled() {
		t.Fatalf("%+v", states)
	}
}
