package tlv

import (
	"bytes"
	"encoding/hex"
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

func TestBERLengthsTakeTheirShortestForm(t *testing.T) {
	for n, want := range map[int]string{0: "8100", 127: "817F", 128: "818180", 255: "8181FF", 256: "81820100", 65536: "8183010000"} {
		if b := Append(nil, 0x81, make([]byte, n)...); !bytes.HasPrefix(b, unhex(t, want)) || len(b) != len(want)/2+n {
			t.Errorf("%d bytes: % X…", n, b[:min(len(b), 6)])
		}
	}
}

func TestMalformedBERIsRefused(t *testing.T) {
	for name, s := range map[string]string{
		"length missing":         "81",
		"tag cut":                "5F",
		"tag of four bytes":      "1F8181810100",
		"indefinite length":      "30800000",
		"length of four bytes":   "818400000001AA",
		"length not shortest":    "818101AA",
		"length not shortest, 2": "8182008000",
		"length cut":             "8182",
		"value cut":              "8102AA",
	} {
		if o, err := Parse(unhex(t, s)); err == nil {
			t.Errorf("%s: %s was read as %v", name, s, o)
		}
	}
}

func TestBERSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []Object
		for range rapid.IntRange(0, 5).Draw(t, "objects") {
			tag := rapid.SampledFrom([]Tag{0x00, 0x80, 0x9E, 0xE1, 0x5F50, 0xBF20, 0x7F49, 0xDF8122}).Draw(t, "tag")
			value := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
			b, want = Append(b, tag, value...), append(want, Object{tag, value})
		}
		got, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	})
}

func TestSimpleTLVSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		var want []Object
		for range rapid.IntRange(0, 5).Draw(t, "objects") {
			tag := rapid.Byte().Draw(t, "tag")
			value := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
			b, want = AppendSimple(b, tag, value...), append(want, Object{Tag(tag), value})
		}
		got, err := ParseSimple(b)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	})
}

func same(t *rapid.T, got, want []Object) {
	if len(got) != len(want) {
		t.Fatalf("%d objects, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Tag != want[i].Tag || !bytes.Equal(got[i].Value, want[i].Value) {
			t.Fatalf("object %d: %v, want %v", i, got[i], want[i])
		}
		if v, found := Find(got, want[i].Tag); !found || v == nil && len(want[i].Value) > 0 {
			t.Fatalf("object %d is not found", i)
		}
	}
}

func TestMalformedSimpleTLVIsRefused(t *testing.T) {
	for _, s := range []string{"81", "8102AA", "81FF", "81FF01", "81FF0100"} {
		if o, err := ParseSimple(unhex(t, s)); err == nil {
			t.Errorf("%s was read as %v", s, o)
		}
	}
}

// What is read may be appended to without harm to what follows it.
func TestValuesCannotGrowIntoTheirNeighbours(t *testing.T) {
	b := unhex(t, "8101AA8201BB")
	o, _, err := Next(b)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(o.Value, 0xFF)
	if !bytes.Equal(b, unhex(t, "8101AA8201BB")) {
		t.Fatalf("% X", b)
	}
}

func TestConstructedTags(t *testing.T) {
	for tag, want := range map[Tag]bool{0xE1: true, 0x80: false, 0x7F49: true, 0x5F50: false, 0xBF20: true} {
		if tag.Constructed() != want {
			t.Errorf("%X", uint32(tag))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "E105830101800100", "5F5001AA", "81820100", "818101AA", "1F8101AA"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		objects, err := Parse(b)
		if err != nil {
			return
		}
		var again []byte
		for _, o := range objects {
			again = Append(again, o.Tag, o.Value...)
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("% X was read as %v, which is % X", b, objects, again)
		}
	})
}

func FuzzParseSimple(f *testing.F) {
	for _, s := range []string{"", "8301028202AABB", "33FF0100", "C3021234"} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		objects, err := ParseSimple(b)
		if err != nil {
			return
		}
		var again []byte
		for _, o := range objects {
			again = AppendSimple(again, byte(o.Tag), o.Value...)
		}
		if second, err := ParseSimple(again); err != nil || len(second) != len(objects) || len(again) > len(b) {
			t.Fatalf("% X was read as %v, which is % X (%v)", b, objects, again, err)
		}
	})
}
