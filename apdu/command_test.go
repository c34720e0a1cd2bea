package apdu

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCommandsOfAllFourCasesEncodeAsTheStandardSays(t *testing.T) {
	for want, c := range map[string]Command{
		"00700000":               {INS: 0x70},
		"0070000001":             {INS: 0x70, Le: 1},
		"0084000000":             {INS: 0x84, Le: 256},
		"01A4040002ABCD":         {CLA: 1, INS: 0xA4, P1: 4, Data: []byte{0xAB, 0xCD}},
		"01CD00000385 01 03 00":  {CLA: 1, INS: 0xCD, Data: []byte{0x85, 1, 3}, Le: 256},
		"01CD00000385 01 03 FF ": {CLA: 1, INS: 0xCD, Data: []byte{0x85, 1, 3}, Le: 255},
	} {
		got, err := c.Bytes()
		if err != nil || !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%+v: %X, %v; want %s", c, got, err, want)
		}
	}
}

func TestCommandsTooLongForTheShortFormAreRefused(t *testing.T) {
	for _, c := range []Command{{Data: make([]byte, 256)}, {Le: 257}, {Le: -1}} {
		if b, err := c.Bytes(); err == nil {
			t.Errorf("%d bytes of data and Le %d became % X", len(c.Data), c.Le, b)
		}
	}
}

func TestBytesThatAreNoCommandAreRefused(t *testing.T) {
	for _, s := range []string{"", "00A404", "00A4040002AB", "00A4040002ABCD0000", "00A4040000000A", "00A404000000"} {
		if c, err := Parse(unhex(t, s)); err == nil {
			t.Errorf("%q was read as %v", s, c)
		}
	}
}

func TestCommandTextHidesData(t *testing.T) {
	if text := (Command{INS: 0xE2, Data: []byte("secret")}).String(); strings.Contains(text, "secret") || strings.Contains(text, "736563") {
		t.Error(text)
	}
}

func TestCommandsSurviveTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Command{
			CLA: rapid.Byte().Draw(t, "cla"), INS: rapid.Byte().Draw(t, "ins"),
			P1: rapid.Byte().Draw(t, "p1"), P2: rapid.Byte().Draw(t, "p2"),
			Data: rapid.SliceOfN(rapid.Byte(), 0, MaxData).Draw(t, "data"),
			Le:   rapid.IntRange(0, MaxLe).Draw(t, "le"),
		}
		b, err := c.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got.CLA != c.CLA || got.INS != c.INS || got.P1 != c.P1 || got.P2 != c.P2 || got.Le != c.Le || !bytes.Equal(got.Data, c.Data) {
			t.Fatalf("%+v became %+v", c, got)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"00700000", "0070000001", "01A4040007A0000005590010", "812B8001029E0000"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		again, err := c.Bytes()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("% X was read as %+v, which is % X (%v)", b, c, again, err)
		}
	})
}
