package applet_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet/brainpool"
)

// signerSIM holds a P-256 pair 01 of every hash, and pairs 02 and 03 for the
// CertificateVerify of TLS 1.2 and 1.3.
func signerSIM(t testing.TB) (*sim, *ecdsa.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scalar, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	general := privateKey("\x01", "general")
	general.Hashes = allHashes
	contents := map[perso.Ref][]byte{}
	for _, id := range []iotsafe.ID{"\x01", "\x02", "\x03"} {
		contents[ref(iotsafe.PrivateKey, id)] = scalar
	}
	s := holding(t, 1, contents, general,
		used(privateKey("\x02", "TLS 1.2"), iotsafe.TLS12CertificateVerify),
		used(privateKey("\x03", "TLS 1.3"), iotsafe.TLS13CertificateVerify))
	return s, &key.PublicKey
}

// signed wants an answer in class 8n that is a good signature.
func signed(t testing.TB, key *ecdsa.PublicKey, h crypto.Hash, text []byte, answer string) {
	t.Helper()
	sum := h.New()
	sum.Write(text)
	verify(t, key, sum.Sum(nil), "330040", answer)
}

func TestATextIsSignedHoweverItIsCut(t *testing.T) {
	s, key := signerSIM(t)
	s.open()
	rapid.Check(t, func(r *rapid.T) {
		text := rapid.SliceOfN(rapid.Byte(), 0, 900).Draw(r, "text")
		cut := func(room int) [][]byte { // into pieces of at most that many bytes
			var pieces [][]byte
			for b := text; ; {
				n := rapid.IntRange(0, min(room, len(b))).Draw(r, "piece")
				pieces, b = append(pieces, b[:n]), b[n:]
				if len(b) == 0 {
					return pieces
				}
			}
		}
		var updates []string
		switch rapid.IntRange(0, 3).Draw(r, "convention") {
		case 0: // the length of the whole in three bytes, then the rest as it is
			for i, p := range cut(250) {
				if i == 0 {
					updates = append(updates, fmt.Sprintf("9B%06X%X", len(text), p))
				} else {
					updates = append(updates, fmt.Sprintf("%X", p))
				}
			}
		case 1: // the same in BER
			for i, p := range cut(250) {
				if i == 0 {
					updates = append(updates, fmt.Sprintf("9B82%04X%X", len(text), p))
				} else {
					updates = append(updates, fmt.Sprintf("%X", p))
				}
			}
		case 2: // a field in each, its length in three bytes
			for _, p := range cut(250) {
				updates = append(updates, fmt.Sprintf("9B%06X%X", len(p), p))
			}
		case 3: // a field in each, its length in one byte; one of 80 and more is told by its fit
			for _, p := range cut(0x7F) {
				updates = append(updates, fmt.Sprintf("9B%02X%X", len(p), p))
			}
		}
		h := []iotsafe.Hash{iotsafe.SHA256, iotsafe.SHA384, iotsafe.SHA512}[rapid.IntRange(0, 2).Draw(r, "hash")]
		signed(t, key, h.Func(), text, s.session(0x2A, fmt.Sprintf("840101 A10101 9102%04X 920104", uint16(h)), updates...))
	})
}

func TestALongFieldOfOneByteLengthIsTaken(t *testing.T) {
	s, key := signerSIM(t)
	s.open()
	first, second := bytes.Repeat([]byte("a"), 0xFD), bytes.Repeat([]byte("b"), 0x90)
	signed(t, key, crypto.SHA256, append(bytes.Clone(first), second...),
		s.session(0x2A, "840101 A10101 91020001 920104", fmt.Sprintf("9BFD%X", first), fmt.Sprintf("9B90%X", second)))
}

func TestALongTextIsSignedByTheClient(t *testing.T) {
	s, key := signerSIM(t)
	c := s.client()
	text := make([]byte, 70000)
	for _, h := range []iotsafe.Hash{iotsafe.SHA256, iotsafe.SHA384, iotsafe.SHA512} {
		signature, err := c.SignText(t.Context(), "\x01", iotsafe.Scheme{Algorithm: iotsafe.ECDSA, Hash: h}, text)
		if err != nil {
			t.Fatal(err)
		}
		sum := h.Func().New()
		sum.Write(text)
		if !ecdsa.Verify(key, sum.Sum(nil), new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Fatal(h)
		}
	}
}

// intermediate is the state of a hash after a text of whole blocks.
func intermediate(t testing.TB, h iotsafe.Hash, text []byte) []byte {
	t.Helper()
	sum := h.Func().New()
	sum.Write(text)
	b, err := sum.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if h == iotsafe.SHA256 {
		return b[4 : 4+32]
	}
	return b[4 : 4+64]
}

func TestALastBlockIsSigned(t *testing.T) {
	s, key := signerSIM(t)
	c := s.client()
	for _, h := range []iotsafe.Hash{iotsafe.SHA256, iotsafe.SHA384, iotsafe.SHA512} {
		for _, blocks := range []int{0, 1, 5} {
			for _, tail := range []int{0, 1, 16, 63, 64, 127, 128} {
				before := bytes.Repeat([]byte("x"), blocks*h.Func().New().BlockSize())
				block := bytes.Repeat([]byte("y"), tail)
				signature, err := c.SignTail(t.Context(), "\x01", iotsafe.Scheme{Algorithm: iotsafe.ECDSA, Hash: h},
					iotsafe.Tail{Block: block, State: intermediate(t, h, before), Hashed: uint32(len(before))})
				if err != nil {
					t.Fatal(err)
				}
				sum := h.Func().New()
				sum.Write(before)
				sum.Write(block)
				if !ecdsa.Verify(key, sum.Sum(nil), new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
					t.Fatalf("hash %04X, %d blocks, %d bytes", uint16(h), blocks, tail)
				}
			}
		}
	}
}

// FIPS 180-4's example "abc", begun from the initial state: what E8 does, with known
// numbers.
func TestE8TheLastBlockOfAKnownText(t *testing.T) {
	s, key := signerSIM(t)
	s.open()
	initial := "6A09E667BB67AE853C6EF372A54FF53A510E527F9B05688C1F83D9AB5BE0CD19"
	got := s.session(0x2A, "840101 A10102 91020001 920104", "9A03616263 9C20"+initial+"9D0400000000")
	signed(t, key, crypto.SHA256, []byte("abc"), got)
}

func TestMalformedLastBlocksAreRefused(t *testing.T) {
	s, _ := signerSIM(t)
	s.open()
	state := strings.Repeat("11", 32)
	for name, data := range map[string]string{
		"no state":               "9A0100 9D0400000040",
		"no block":               "9C20" + state + "9D0400000040",
		"no count":               "9A0100 9C20" + state,
		"a count of three bytes": "9A0100 9C20" + state + "9D03000040",
		"not whole blocks":       "9A0100 9C20" + state + "9D0400000041",
		"a state of SHA-512":     "9A0100 9C40" + state + state + "9D0400000040",
		"a block too long":       "9A81" + strings.Repeat("00", 129) + "9C20" + state + "9D0400000040",
		"two states":             "9A0100 9C20" + state + "9C20" + state + "9D0400000040",
		"a digest":               "9E20" + state,
	} {
		if got := s.session(0x2A, "840101 A10102 91020001 920104", data); got != "6A80" {
			t.Errorf("%s: %s", name, got)
		}
	}
	// The fields may come in several UPDATEs.
	if got := s.session(0x2A, "840101 A10102 91020001 920104", "9A0100", "9C20"+state[:10], state[10:]+"9D0400000040"); !strings.HasPrefix(got, "330040") {
		t.Error(got)
	}
	if got := s.session(0x2A, "840101 A10103 91020001 920104", append(slices255(3), "9E20"+state)...); got != "6A80" {
		t.Error("more data than a session takes:", got)
	}
}

// slices255 is n full UPDATEs.
func slices255(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = strings.Repeat("00", 255)
	}
	return out
}

func TestKeysForCertificateVerifySignNothingElse(t *testing.T) {
	s, key := signerSIM(t)
	c := s.client()
	tls13 := []byte(strings.Repeat(" ", 64) + "TLS 1.3, client CertificateVerify\x00" + strings.Repeat("h", 32))
	server := bytes.Replace(tls13, []byte("client"), []byte("server"), 1)
	hello := append([]byte{1, 0, 1, 0, 3, 3}, make([]byte, 300)...)
	helloDTLS := append([]byte{1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0xFE, 0xFD}, make([]byte, 300)...)
	for name, x := range map[string]struct {
		id   iotsafe.ID
		text []byte
		good bool
	}{
		"1.3, CertificateVerify":        {"\x03", tls13, true},
		"1.3, of the server":            {"\x03", server, false},
		"1.3, one blank too few":        {"\x03", tls13[1:], false},
		"1.3, cut":                      {"\x03", tls13[:97], false},
		"1.3, a ClientHello":            {"\x03", hello, false},
		"1.3, any text":                 {"\x03", []byte("pay"), false},
		"1.3, nothing":                  {"\x03", nil, false},
		"1.2, a handshake":              {"\x02", hello, true},
		"1.2, a DTLS handshake":         {"\x02", helloDTLS, true},
		"1.2, CertificateVerify of 1.3": {"\x02", tls13, false},
		"1.2, a ServerHello":            {"\x02", append([]byte{2}, hello[1:]...), false},
		"1.2, TLS 1.0":                  {"\x02", append([]byte{1, 0, 1, 0, 3, 1}, hello[6:]...), false},
		"1.2, too short":                {"\x02", hello[:5], false},
		"general, any text":             {"\x01", []byte("pay"), true},
	} {
		signature, err := c.SignText(t.Context(), x.id, iotsafe.ECDSAWithSHA256, x.text)
		switch {
		case !x.good && !errors.Is(err, apdu.ConditionsNot):
			t.Errorf("%s: %v", name, err)
		case x.good && err != nil:
			t.Errorf("%s: %v", name, err)
		case x.good:
			sum := crypto.SHA256.New()
			sum.Write(x.text)
			if !ecdsa.Verify(key, sum.Sum(nil), new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
				t.Error(name)
			}
		}
	}
	// In pieces, too, it is the beginning that counts.
	s.open2()
	var bytewise []string
	for i := range tls13 {
		bytewise = append(bytewise, fmt.Sprintf("9B01%X", tls13[i:i+1]))
	}
	signed(t, key, crypto.SHA256, tls13, s.session(0x2A, "840103 A10101 91020001 920104", bytewise...))
	// What the applet cannot see it does not sign.
	for _, id := range []string{"02", "03"} {
		for _, mode := range []string{"02", "03"} {
			if got := s.session(0x2A, "8401"+id+"A101"+mode+" 91020001 920104"); got != "6985" {
				t.Errorf("key %s, mode %s: %s", id, mode, got)
			}
		}
	}
}

func TestBrainpoolKeysAreGeneratedProvedAndUsed(t *testing.T) {
	for _, kind := range []iotsafe.KeyType{iotsafe.BrainpoolP256Persist, iotsafe.BrainpoolP256Volatile} {
		s := newSIM(t, 1, typed(privateKey("\x01", "b"), kind), typed(publicKey("\x02", "b"), kind))
		s.personalize(keyPair("\x01", "\x02")...)
		s.uicc.Reset()
		c := s.client()
		_, err := c.Sign(t.Context(), "\x01", make([]byte, 32))
		if survived := err == nil; survived != (kind == iotsafe.BrainpoolP256Persist) {
			t.Fatal(err)
		}
		pair, err := c.GenerateAnyKeyPair(t.Context(), "\x01")
		if err != nil {
			t.Fatal(err)
		}
		point, ok := pair.AnyKey.(iotsafe.Point)
		if !ok || brainpool.CheckPoint(point) != nil {
			t.Fatalf("%T", pair.AnyKey)
		}
		if read, err := c.AnyPublicKey(t.Context(), "\x02"); err != nil || !point.Equal(read) {
			t.Fatal(err)
		}
		for _, h := range []iotsafe.Hash{iotsafe.SHA256, iotsafe.SHA384} {
			scheme := iotsafe.Scheme{Algorithm: iotsafe.ECDSA, Hash: h}
			signature, err := c.SignText(t.Context(), "\x01", scheme, []byte("text"))
			if err != nil {
				t.Fatal(err)
			}
			sum := h.Func().New()
			sum.Write([]byte("text"))
			if !brainpool.Verify(point, sum.Sum(nil), signature) {
				t.Fatal("the signature does not verify")
			}
			if err := c.VerifyText(t.Context(), "\x02", scheme, []byte("text"), signature); err != nil {
				t.Fatal(err)
			}
			if err := c.VerifyText(t.Context(), "\x02", scheme, []byte("Text"), signature); !errors.Is(err, apdu.SignatureMismatch) {
				t.Fatal(err)
			}
		}
		challenge := [perso.ChallengeSize]byte{7}
		proof := s.personalize(perso.Prove{Ref: ref(iotsafe.PrivateKey, "\x01"), Challenge: challenge})[0].(perso.ProofAnswer).Proof
		digest := perso.ProofDigest(challenge, testICCID.File(), point)
		if !brainpool.Verify(point, digest[:], proof) {
			t.Fatal("the proof of possession does not verify")
		}
	}
}

func TestEachPairOfInstructionsHasItsOwnSessions(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	number := "01"
	s.expect("812A00"+number+"0D840101A1010391020001920104", "9000")
	s.expect("812C00"+number+"0D850101A1010391020001920104", "9000")
	s.expect("815A00"+number+"0491020001", "9000")
	s.expect("812A01"+number, "9000") // closes the first only
	s.expect("812B80"+number+"229E20"+digestHex+"00", "6985")
	s.expect("812D80"+number+"659E20"+digestHex+"330040"+strings.Repeat("01", 64), "6D01")
	if got := s.say("815B80" + number + "03616263" + "00"); got != "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD9000" {
		t.Fatal(got)
	}
}
