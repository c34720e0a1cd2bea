package ca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newTestKey(t interface{ Fatal(...any) }) *ecdsa.PublicKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey
}

// What comes from a mould is, to the byte, what the linter would have read and passed.
func TestACastCertificateIsTheOneThatWouldHaveBeenLinted(t *testing.T) {
	c := listCA(t)
	g, begin := c.issuing(), time.Now().UTC().Truncate(time.Second)
	var linted, cast int
	rapid.Check(t, func(t *rapid.T) {
		s := Subject{
			ICCID:        rapid.StringMatching(`[0-9]{18,20}`).Draw(t, "iccid"),
			Organization: rapid.SampledFrom([]string{"", "Example Meters", "Überwacher & Söhne"}).Draw(t, "organization"),
			Fleet:        rapid.SampledFrom([]string{"", "meters", "pumps"}).Draw(t, "fleet"),
		}
		key := newTestKey(t)
		from := begin.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "hour")) * time.Hour)
		to := from.Add(time.Duration(rapid.IntRange(1, 40*365*24).Draw(t, "hours")) * time.Hour) // the CA ends before
		var read []byte
		known := 0
		p, err := c.prepareBy(g, 0, s.template(key, from, to), func(template *x509.Certificate) ([]byte, error) {
			known = len(g.moulds.byShape)
			var err error
			if read, err = g.linter.check(template); err != nil {
				return nil, err
			}
			return g.moulds.prepare(s, template, g.linter)
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(g.moulds.byShape) == known {
			cast++
		} else {
			linted++
		}
		if !bytes.Equal(p.TBS, read) {
			t.Fatalf("cast %x, linted %x", p.TBS, read)
		}
	})
	if cast == 0 || linted == 0 {
		t.Errorf("%d were cast and %d linted: want both", cast, linted)
	}
}

func TestADeviceWithASmallPrivateKeyGetsNoCertificateThoughItsFleetHasAMould(t *testing.T) {
	c := listCA(t)
	now := time.Now()
	s := Subject{ICCID: "8988211000000000017", Fleet: "meters"}
	refused := func(key crypto.PublicKey) bool {
		t.Helper()
		_, err := c.PrepareSIM(s, key, now, now.Add(time.Hour))
		if err != nil && !errors.Is(err, ErrLint) {
			t.Fatal(err)
		}
		return err != nil
	}
	if refused(newTestKey(t)) {
		t.Fatal("a good key is refused")
	}
	curve := elliptic.P256()
	for _, number := range []int64{1, 2, 3, 129, 254, 255} {
		for _, scalar := range []*big.Int{big.NewInt(number), new(big.Int).Sub(curve.Params().N, big.NewInt(number))} {
			text := scalar.FillBytes(make([]byte, fieldSize))
			key, err := ecdsa.ParseRawPrivateKey(curve, text)
			if err != nil {
				t.Fatal(err)
			}
			if small := scalar.IsInt64(); small && !refused(&key.PublicKey) {
				t.Errorf("the private key %d was not refused", scalar)
			}
			if fits(s.ICCID, &key.PublicKey) {
				t.Errorf("the private key %d fits", scalar)
			}
		}
	}
}

func TestTheFirstCertificateOfEachDayIsLinted(t *testing.T) {
	c := listCA(t)
	g, key, day := c.issuing(), newTestKey(t), time.Date(2026, 5, 1, 23, 59, 0, 0, time.UTC)
	s := Subject{ICCID: "8988211000000000017", Fleet: "meters"}
	for _, from := range []time.Time{day, day, day.Add(2 * time.Minute)} {
		if _, err := c.PrepareSIM(s, key, from, from.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := g.moulds.day, day.Add(2*time.Minute).Truncate(24*time.Hour); !got.Equal(want) {
		t.Errorf("the moulds are of %s, want %s", got, want)
	}
}

func BenchmarkPrepareSIM(b *testing.B) {
	c, key, now := listCA(b), newTestKey(b), time.Now()
	s := Subject{ICCID: "8988211000000000017", Organization: "Example", Fleet: "meters"}
	b.Run("cast", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.PrepareSIM(s, key, now, now.Add(time.Hour)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("linted", func(b *testing.B) {
		g := c.issuing()
		for b.Loop() {
			if _, err := c.prepareBy(g, 0, s.template(key, now, now.Add(time.Hour)), g.linter.check); err != nil {
				b.Fatal(err)
			}
		}
	})
}
