package applet_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
)

// cipherSIM holds AES secrets 01 (128 bits: 40 … 4F) and 02 (256 bits: 40 … 5F).
func cipherSIM(t testing.TB) *sim {
	t.Helper()
	s := newSIM(t, 2, cipherSecret("\x01", iotsafe.AES128Secret), cipherSecret("\x02", iotsafe.AES256Secret),
		cipherSecret("\x03", iotsafe.AES128Secret), psk("\x04"))
	script := append(stored("\x01", unhex(t, sequence(0x40, 16))), stored("\x02", unhex(t, sequence(0x40, 32)))...)
	s.personalize(append(script, stored("\x04", unhex(t, sequence(0x40, 16)))...)...)
	s.uicc.Reset()
	return s
}

func TestTheClientFindsOutWhatAnAppletOffersBesides(t *testing.T) {
	for typ, want := range map[int]iotsafe.Cipher{1: iotsafe.AESGCM | iotsafe.AESCCM | iotsafe.RSAOAEP, 2: iotsafe.AESGCM | iotsafe.AESCCM} {
		s := newSIM(t, typ)
		got, err := s.client().Services(t.Context())
		if err != nil || got != (iotsafe.Services{Version: 1, Hashes: allHashes, Ciphers: want, MaxText: applet.MaxText}) {
			t.Fatalf("%+v, %v", got, err)
		}
	}
}

func TestTheAppletHashes(t *testing.T) {
	s := cipherSIM(t)
	c := s.client()
	for _, n := range []int{0, 1, 255, 256, 1000} {
		text := bytes.Repeat([]byte{0x9B}, n)
		d256, d384, d512 := sha256.Sum256(text), sha512.Sum384(text), sha512.Sum512(text)
		for h, want := range map[iotsafe.Hash][]byte{iotsafe.SHA256: d256[:], iotsafe.SHA384: d384[:], iotsafe.SHA512: d512[:]} {
			if got, err := c.Digest(t.Context(), h, text); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%X, %v", got, err)
			}
		}
	}
	s.open2()
	for parameters, want := range map[string]string{
		"91020003": "6A80", "910101": "6A80", "": "6A80", "91020001 860101": "6A80", "91020001": "9000",
	} {
		if got := s.session(0x5A, parameters); got != want {
			t.Errorf("%s: %s", parameters, got)
		}
	}
}

func TestWhatIsEncipheredDeciphersAndNothingElseDoes(t *testing.T) {
	s := cipherSIM(t)
	c := s.client()
	ctx := t.Context()
	rapid.Check(t, func(r *rapid.T) {
		id := rapid.SampledFrom([]iotsafe.ID{"\x01", "\x02"}).Draw(r, "key")
		mode := rapid.SampledFrom([]iotsafe.Cipher{iotsafe.AESGCM, iotsafe.AESCCM}).Draw(r, "cipher")
		text := rapid.SliceOfN(rapid.Byte(), 0, applet.MaxText).Draw(r, "text")
		additional := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(r, "additional data")
		sealed, err := c.Encrypt(ctx, id, mode, text, additional)
		if err != nil {
			r.Fatal(err)
		}
		got, err := c.Decrypt(ctx, id, mode, sealed, additional)
		if err != nil || !bytes.Equal(got, text) {
			r.Fatalf("%X, %v", got, err)
		}
		again, err := c.Encrypt(ctx, id, mode, text, additional)
		if err != nil || bytes.Equal(again[:iotsafe.NonceSize], sealed[:iotsafe.NonceSize]) {
			r.Fatal("a nonce came twice:", err)
		}
		refused := func(what string, id iotsafe.ID, mode iotsafe.Cipher, sealed, additional []byte) {
			if text, err := c.Decrypt(ctx, id, mode, sealed, additional); err == nil || len(text) > 0 {
				r.Fatalf("%s: %X", what, text)
			}
		}
		bit := rapid.IntRange(0, 8*len(sealed)-1).Draw(r, "bit")
		forged := bytes.Clone(sealed)
		forged[bit/8] ^= 1 << (bit % 8)
		refused("a bit changed", id, mode, forged, additional)
		refused("cut", id, mode, sealed[:len(sealed)-1], additional)
		refused("another mode", id, mode^3, sealed, additional)
		refused("another key", other(id), mode, sealed, additional)
		refused("other additional data", id, mode, sealed, append(bytes.Clone(additional), 1))
	})
}

func other(id iotsafe.ID) iotsafe.ID {
	if id == "\x01" {
		return "\x02"
	}
	return "\x01"
}

// The texts below are those of NIST SP 800-38C, example 3, whose ciphertext the first of
// them has; the tags of 16 bytes, which no published example has, are those of OpenSSL.
func TestKnownCiphertextsDecipher(t *testing.T) {
	s := cipherSIM(t)
	c := s.client()
	nonce, additional := unhex(t, sequence(0x10, 12)), unhex(t, sequence(0x00, 20))
	for _, x := range []struct {
		id         iotsafe.ID
		additional []byte
		sealed     string
		text       string
	}{
		{"\x01", additional, "E3B201A9F5B71A7A9B1CEAECCD97E70B6176AAD9A4428AA5C87AE488918DE93F17DD3E4934347F44", sequence(0x20, 24)},
		{"\x02", additional, "04F883AEB3BD0730EAF50BB6DE4FA2212034E4E41B0E75E59BBA3F3A107F3239BD63902923F80371", sequence(0x20, 24)},
		{"\x01", nil, "E3B201A9F5B71A7A9B1CEAECCD97E70B6176AAD9A4428AA5541BD1D416FA0CE3EC5B900F7DB63EF89E360EA7388BF8FF1D", sequence(0x20, 33)},
	} {
		got, err := c.Decrypt(t.Context(), x.id, iotsafe.AESCCM, append(bytes.Clone(nonce), unhex(t, x.sealed)...), x.additional)
		if err != nil || !bytes.Equal(got, unhex(t, x.text)) {
			t.Errorf("%X, %v", got, err)
		}
	}
	for id, key := range map[iotsafe.ID]string{"\x01": sequence(0x40, 16), "\x02": sequence(0x40, 32)} {
		block, err := aes.NewCipher(unhex(t, key))
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		sealed := gcm.Seal(bytes.Clone(nonce), nonce, []byte("hello"), additional)
		if got, err := c.Decrypt(t.Context(), id, iotsafe.AESGCM, sealed, additional); err != nil || string(got) != "hello" {
			t.Errorf("%X, %v", got, err)
		}
	}
}

func TestWhatCiphersRefuse(t *testing.T) {
	s := cipherSIM(t)
	s.open()
	for parameters, want := range map[string]string{
		"860101 A30101":                 "9000",
		"860101 A30102 D60161":          "9000",
		"860101 A30101 91020001":        "6A80", // a hash is for RSA
		"860101 A30103":                 "6A80", // two ciphers
		"860101 A30104 91020001":        "6A80", // RSA with a secret
		"860101":                        "6A80",
		"A30101":                        "6A80",
		"840101 A30101":                 "6A80",
		"860101 A30101 A30101":          "6A80",
		"860109 A30101":                 "6A82",
		"860103 A30101":                 "6985", // empty
		"860104 A30101":                 "6985", // a secret for derivation
		"860101 A3020001":               "6A80",
		"860101 A30101 D60161 D10161":   "6A80",
		"840101 A30104 91020001 D60161": "6A80", // a Type II applet has no RSA
	} {
		for _, ins := range []byte{0x5C, 0x5E} {
			if got := s.session(ins, parameters); got != want {
				t.Errorf("%02X %s: %s, want %s", ins, parameters, got, want)
			}
		}
	}
	text := make([]string, 5)
	for i := range text {
		text[i] = strings.Repeat("00", 255)
	}
	if got := s.session(0x5C, "860101 A30101", text...); got != "6A84" {
		t.Error("a text too long:", got)
	}
	if got := s.session(0x5E, "860101 A30101", text...); got != "6A84" {
		t.Error("a ciphertext too long:", got)
	}
	for _, sealed := range []string{"", strings.Repeat("00", 11), strings.Repeat("00", 27), strings.Repeat("00", 28)} {
		if got := s.session(0x5E, "860101 A30101", sealed); got != "6A80" {
			t.Errorf("%d bytes: %s", len(sealed)/2, got)
		}
		if got := s.session(0x5E, "860101 A30102", sealed); got != "6A80" {
			t.Errorf("%d bytes: %s", len(sealed)/2, got)
		}
	}
	c := s.client()
	if _, err := c.Encrypt(t.Context(), "\x01", iotsafe.AESGCM, make([]byte, applet.MaxText+1), nil); !errors.Is(err, apdu.NoSpace) || !strings.Contains(err.Error(), "services say") {
		t.Fatal(err)
	}
	// An AES secret derives nothing, and has one size.
	s.expect("8148000009 860101 D20161 D30110 00", "6985")
	if sw := s.refused(putSecret("\x03", make([]byte, 17))); sw != apdu.WrongData {
		t.Fatal(sw)
	}
	if sw := s.refused(putSecret("\x02", make([]byte, 16))); sw != apdu.WrongData {
		t.Fatal(sw)
	}
}

func TestRSAOAEPDeciphers(t *testing.T) {
	s, key := rsaSIM(t)
	c := s.client()
	for _, h := range []iotsafe.Hash{iotsafe.SHA256, iotsafe.SHA384, iotsafe.SHA512} {
		for _, label := range [][]byte{nil, []byte("label")} {
			text := []byte("a secret of " + fmt.Sprint(h))
			sealed, err := rsa.EncryptOAEP(h.Func().New(), rand.Reader, &key.PublicKey, text, label)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.DecryptOAEP(t.Context(), "\x01", h, sealed, label); err != nil || !bytes.Equal(got, text) {
				t.Fatalf("%X, %v", got, err)
			}
			for name, f := range map[string]func() ([]byte, error){
				"another label": func() ([]byte, error) { return c.DecryptOAEP(t.Context(), "\x01", h, sealed, []byte("x")) },
				"another hash": func() ([]byte, error) {
					return c.DecryptOAEP(t.Context(), "\x01", map[iotsafe.Hash]iotsafe.Hash{1: 2, 2: 4, 4: 1}[h], sealed, label)
				},
				"cut":     func() ([]byte, error) { return c.DecryptOAEP(t.Context(), "\x01", h, sealed[:255], label) },
				"zeros":   func() ([]byte, error) { return c.DecryptOAEP(t.Context(), "\x01", h, make([]byte, 256), label) },
				"nothing": func() ([]byte, error) { return c.DecryptOAEP(t.Context(), "\x01", h, nil, label) },
			} {
				if _, err := f(); !errors.Is(err, apdu.WrongData) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
	s.open2()
	if got := s.session(0x5C, "840101 A30104 91020001"); got != "6A80" {
		t.Error("enciphering with a private key:", got)
	}
	if got := s.session(0x5E, "840101 A30101"); got != "6A80" {
		t.Error("AES with a private key:", got)
	}
}

func TestAnEmptyTextIsEncipheredToo(t *testing.T) {
	s := cipherSIM(t)
	s.personalize(perso.ReadState{})
	c := s.client()
	for _, mode := range []iotsafe.Cipher{iotsafe.AESGCM, iotsafe.AESCCM} {
		sealed, err := c.Encrypt(t.Context(), "\x01", mode, nil, nil)
		if err != nil || len(sealed) != 28 {
			t.Fatalf("%X, %v", sealed, err)
		}
		if text, err := c.Decrypt(t.Context(), "\x01", mode, sealed, nil); err != nil || len(text) != 0 {
			t.Fatalf("%X, %v", text, err)
		}
	}
}
