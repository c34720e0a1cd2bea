package iotsafe

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/apdu"
)

const (
	digestHex = "B94D27B9934D3E08A52E52D7DA7DABFAC484EFE37A5380EE9088F7ACE2EFCDE9"
	signInit  = "812A0001 0F 8403303036 A10103 91020001 920104"
	signLast  = "812B8001 22 9E20" + digestHex + "00"
	signClose = "812A0101 > 9000"
)

var rs = strings.Repeat("00", 31) + "11" + strings.Repeat("22", 32)

func derHex(t *testing.T) string {
	t.Helper()
	s := new(big.Int).SetBytes(unhex(t, rs[64:]))
	b, err := asn1.Marshal(struct{ R, S *big.Int }{big.NewInt(0x11), s})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

func TestASignatureIsTwoCommandsAndTakenInEveryForm(t *testing.T) {
	der := derHex(t)
	length := func(n int) string { return hex.EncodeToString([]byte{byte(n)}) }
	for name, answer := range map[string]string{
		"two-byte length":     "330040" + rs,
		"one-byte length":     "3340" + rs,
		"length with 81":      "338140" + rs,
		"DER":                 "33" + length(len(der)/2) + der,
		"DER, two-byte":       "3300" + length(len(der)/2) + der,
		"with administration": "330040" + rs,
	} {
		t.Run(name, func(t *testing.T) {
			sw := "9000"
			if name == "with administration" {
				sw = "63CF"
			}
			a, _ := settled(t, signInit+"> "+sw, signLast+"> "+answer+"9000")
			got, err := a.Sign(t.Context(), "006", unhex(t, digestHex))
			if err != nil || hex.EncodeToString(got) != rs {
				t.Fatalf("%x, %v", got, err)
			}
		})
	}
}

func TestSomethingElseIsNeverTakenForASignature(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing": "", "empty": "3300", "empty, two-byte": "330000", "short": "333F" + rs[2:], "cut": "330040" + rs[2:],
		"another tag": "340040" + rs, "RSA": "330100" + strings.Repeat("11", 256), "bad DER": "33063004020101FF", "DER of zero": "33083006020100020101",
		"tag only": "33", "more behind it": "330040" + rs + "00",
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := settled(t, signInit+"> 9000", signLast+"> "+answer+"9000", signClose)
			if got, err := a.Sign(t.Context(), "006", unhex(t, digestHex)); err == nil {
				t.Fatalf("%x", got)
			}
		})
	}
}

func TestAFailedSignatureClosesItsSession(t *testing.T) {
	for name, steps := range map[string][]string{
		"init refused":    {signInit + "> 6985", signClose},
		"update refused":  {signInit + "> 9000", signLast + "> 6985", "812A0101 > 6985"},
		"connection lost": {signInit + "> 9000", signLast + "> cut", "812A0101 > cut"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := settled(t, steps...)
			_, err := a.Sign(t.Context(), "006", unhex(t, digestHex))
			if name == "connection lost" {
				if !errors.Is(err, errCut) {
					t.Fatal(err)
				}
				return
			}
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.SW != apdu.ConditionsNot || refusal.ID != "006" || refusal.Kind != PrivateKey {
				t.Fatal(err)
			}
		})
	}
}

func TestASessionThatCouldNotBeClosedIsClosedBeforeTheNext(t *testing.T) {
	a, s := settled(t, signInit+"> 9000", signLast+"> cut", "812A0101 > cut")
	if _, err := a.Sign(t.Context(), "006", unhex(t, digestHex)); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	s.steps = []string{signClose, signInit + "> 9000", signLast + "> 330040" + rs + "9000"}
	if _, err := a.Sign(t.Context(), "006", unhex(t, digestHex)); err != nil {
		t.Fatal(err)
	}
	s.steps = []string{signInit + "> 9000", signLast + "> 330040" + rs + "9000"} // and only once
	if _, err := a.Sign(t.Context(), "006", unhex(t, digestHex)); err != nil {
		t.Fatal(err)
	}
}

// sessions is a card that has one session for signatures and refuses what disturbs it.
type sessions struct {
	t      *testing.T
	open   bool
	digest []byte
}

func (s *sessions) Transmit(_ context.Context, command []byte) ([]byte, error) {
	runtime.Gosched() // gives a client that takes no turns its chance to be found out
	switch ins, p1 := command[1], command[2]; {
	case ins == insGetRandom:
		return append(bytes.Repeat([]byte{1}, int(command[4])), 0x90, 0x00), nil
	case ins == 0x2A && p1 == 0 && !s.open:
		s.open = true
		return []byte{0x90, 0x00}, nil
	case ins == 0x2B && s.open:
		s.open = false
		s.digest = command[7:39]
		return slices.Concat([]byte{0x33, 0x40}, s.digest, s.digest, []byte{0x90, 0x00}), nil
	}
	s.t.Errorf("out of turn: % X", command)
	return []byte{0x69, 0x85}, nil
}

func TestManyMaySignAtOnceAndEachGetsItsOwn(t *testing.T) {
	a, _ := settled(t)
	a.card = &sessions{t: t}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			digest := bytes.Repeat([]byte{byte(i + 1)}, 32)
			for range 50 {
				signature, err := a.Sign(t.Context(), "006", digest)
				if err != nil || !bytes.Equal(signature[:32], digest) {
					t.Errorf("% X, %v", signature, err)
				}
				if _, err := a.Random(t.Context(), 8); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func TestDigestsThatCannotBeSignedAreNotSent(t *testing.T) {
	a, _ := settled(t)
	for _, n := range []int{0, 20, 31, 65} {
		if _, err := a.Sign(t.Context(), "006", make([]byte, n)); err == nil {
			t.Errorf("%d bytes", n)
		}
	}
	if _, err := a.Sign(t.Context(), "", make([]byte, 32)); err == nil {
		t.Error("no identifier")
	}
}

func TestLongDigestsAreCutAsECDSADoes(t *testing.T) {
	a, _ := settled(t, signInit+"> 9000", signLast+"> 330040"+rs+"9000")
	if _, err := a.Sign(t.Context(), "006", append(unhex(t, digestHex), make([]byte, 16)...)); err != nil {
		t.Fatal(err)
	}
}

func TestRawAndDERSignaturesAreTheSameNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zeros := rapid.IntRange(0, 31).Draw(t, "leading zeros")
		raw := append(make([]byte, zeros), rapid.SliceOfN(rapid.ByteRange(1, 255), 64-zeros, 64-zeros).Draw(t, "rest")...)
		der := derSignature(raw)
		back, err := rawSignature(der)
		if err != nil || !bytes.Equal(back, raw) {
			t.Fatalf("%X became %X, then %X: %v", raw, der, back, err)
		}
	})
}

func TestASignerNoticesThatItsKeyWasReplaced(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := unhex(t, digestHex)
	steps := func(k *ecdsa.PrivateKey, sw string) []string {
		r, s, err := ecdsa.Sign(rand.Reader, k, digest)
		if err != nil {
			t.Fatal(err)
		}
		raw := make([]byte, 64)
		r.FillBytes(raw[:32])
		s.FillBytes(raw[32:])
		return []string{signInit + "> " + sw, signLast + "> 330040" + hex.EncodeToString(raw) + "9000"}
	}
	a, card := settled(t)
	signer := a.Signer(t.Context(), "006", &key.PublicKey)
	for i, step := range []struct {
		key  *ecdsa.PrivateKey
		sw   string
		want error
	}{
		{key, "9000", nil}, {key, "63CF", nil}, {other, "63CF", ErrKeyChanged}, {other, "9000", ErrKeyChanged}, {key, "9000", nil},
	} {
		card.steps = steps(step.key, step.sw)
		der, err := signer.Sign(nil, digest, crypto.SHA256)
		if !errors.Is(err, step.want) || Changed(err) != (step.want != nil) {
			t.Fatalf("signature %d: %v", i, err)
		}
		if err == nil && !ecdsa.VerifyASN1(&key.PublicKey, digest, der) {
			t.Fatalf("signature %d does not verify", i)
		}
	}
}

func TestASignerRefusesWhatItCannotSign(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := settled(t)
	digest := sha256.Sum256(nil)
	_, good := point(t)
	for name, f := range map[string]func() ([]byte, error){
		"P-384": func() ([]byte, error) {
			return a.Signer(t.Context(), "1", &key.PublicKey).Sign(nil, digest[:], crypto.SHA256)
		},
		"no key":         func() ([]byte, error) { return a.Signer(t.Context(), "1", nil).Sign(nil, digest[:], crypto.SHA256) },
		"SHA-1":          func() ([]byte, error) { return a.Signer(t.Context(), "1", good).Sign(nil, digest[:20], crypto.SHA1) },
		"wrong length":   func() ([]byte, error) { return a.Signer(t.Context(), "1", good).Sign(nil, digest[:31], crypto.SHA256) },
		"no hash at all": func() ([]byte, error) { return a.Signer(t.Context(), "1", good).Sign(nil, digest[:], nil) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func FuzzParseSignature(f *testing.F) {
	f.Add(append([]byte{0x33, 0x00, 0x40}, make([]byte, 64)...))
	f.Add([]byte{0x33, 0x08, 0x30, 0x06, 0x02, 0x01, 0x01, 0x02, 0x01, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := parseSignature(b, signatureSize); err == nil && len(s) != 64 {
			t.Fatalf("% X was read as % X", b, s)
		}
	})
}
