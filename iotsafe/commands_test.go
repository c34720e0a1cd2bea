package iotsafe

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
)

func point(t *testing.T) (string, *ecdsa.PublicKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b), &key.PublicKey
}

func TestApplicationInformation(t *testing.T) {
	rest := " B10105 B20105 B30105 B40102 90010F 91020001 920104 930101 940103 B70104 9000"
	a, s := settled(t, "81CB 0000 44 > 100101 1120"+strings.Repeat("AB", 32)+rest)
	i, err := a.Info(t.Context())
	if err != nil || i.Version != 1 || i.MaxFiles != 5 || i.MaxSecretKeys != 2 || i.Hashes != SHA256 || i.MaxSessions != 4 || i.TypeII() || i.Identifier[31] != 0xAB {
		t.Fatalf("%+v, %v", i, err)
	}
	// An older applet: a short identifier, one byte of hashes, the length corrected.
	s.steps = []string{"81CB 0000 44 > 6C30", "81CB 0000 30 > 100101 1103ABCDEF B20100 910103 FF0102 9000"}
	if i, err = a.Info(t.Context()); err != nil || !i.TypeII() || i.Hashes != SHA256|SHA384 || i.Identifier[2] != 0xEF {
		t.Fatalf("%+v, %v", i, err)
	}
	// One whose identifier is a byte shorter than its length says.
	s.steps = []string{"81CB 0000 44 > 100101 110E" + strings.Repeat("AB", 13) + strings.Replace(rest, "91020001", "910101", 1)}
	if i, err = a.Info(t.Context()); err != nil || i.MaxFiles != 5 || i.MaxSecretKeys != 2 || i.Hashes != SHA256 || i.MaxSessions != 4 || i.Identifier[12] != 0xAB || i.Identifier[13] != 0 {
		t.Fatalf("%+v, %v", i, err)
	}
	s.steps = []string{"81CB 0000 44 > 9000"}
	if _, err = a.Info(t.Context()); err == nil {
		t.Fatal("nothing was taken for information")
	}
}

func TestTheObjectListIsPutTogetherFromItsParts(t *testing.T) {
	private, file := "C10F 840101 600100 4A0101 4B0113 610101", "C310 830102 2101 02 4A0101 600101 20020258"
	a, s := settled(t,
		"81CB 0100 00 > "+private+"C3 10 83 01 6300",
		"81CB 0101 00 > "+strings.TrimPrefix(file, "C310 8301")+"5501AA 9000")
	objects, err := a.Objects(t.Context())
	if err != nil || len(objects) != 2 {
		t.Fatalf("%+v, %v", objects, err)
	}
	if o := objects[0]; o.Kind != PrivateKey || o.ID != "\x01" || !o.Active || o.KeyType != P256Persistent || o.Functions != Signing {
		t.Errorf("%+v", o)
	}
	if o := objects[1]; o.Kind != File || o.Size != 600 || o.Usage != X509Certificate || o.Access != Readable {
		t.Errorf("%+v", o)
	}
	s.steps = []string{"81CB 0100 00 > " + private + "6300", "81CB 0101 00 > 6985"}
	if _, err := a.Objects(t.Context()); !errors.Is(err, apdu.ConditionsNot) {
		t.Fatal(err)
	}
	s.steps = []string{"81CB 0100 00 > 9000"}
	if objects, err := a.Objects(t.Context()); err != nil || len(objects) != 0 {
		t.Fatalf("%+v, %v", objects, err)
	}
}

func TestSeveralKeysInOneStructureAreSeveralObjects(t *testing.T) {
	for name, list := range map[string]string{
		"with identifiers":      "C110 840101 610101 4A0101 840102 6101024A0100",
		"with labels":           "C11A 740141 840101 610101 4A0101 740142 840102 610102 4A0100",
		"labels here and there": "C113 840101 610101 4A0101 740142 840102 6101024A0100",
		"apart":                 "C109 840101 610101 4A0101 C109 840102 610102 4A0100",
	} {
		b := unhex(t, list)
		if name != "apart" {
			b[1] = byte(len(b) - 2)
		}
		objects, err := ParseObjects(b)
		if err != nil || len(objects) != 2 {
			t.Errorf("%s: %+v, %v", name, objects, err)
			continue
		}
		if one := objects[0]; one.ID != "\x01" || !one.Active || one.Functions != Signing || one.Label == "B" {
			t.Errorf("%s: %+v", name, one)
		}
		if two := objects[1]; two.ID != "\x02" || two.Active || two.Functions != KeyGeneration || two.Label == "A" {
			t.Errorf("%s: %+v", name, two)
		}
	}
	// One key may have its label behind everything else.
	if objects, err := ParseObjects(unhex(t, "C10C 840101 610101 4A0101 740141")); err != nil || len(objects) != 1 || objects[0].Label != "A" {
		t.Errorf("%+v, %v", objects, err)
	}
}

func TestLabelsAreBytesAndNotText(t *testing.T) {
	o := Object{Kind: File, ID: "\x00\xFF", Label: "\x80\x00\xFE", Active: true}
	objects, err := ParseObjects(o.Append(nil))
	if err != nil || len(objects) != 1 || objects[0] != o {
		t.Fatalf("%+v, %v", objects, err)
	}
}

func FuzzParseObjects(f *testing.F) {
	f.Add(unhex(f, "C112 740141 840101 610101 840102 610102 C30A 830102 2002 0258 210102"))
	f.Fuzz(func(t *testing.T, b []byte) {
		objects, err := ParseObjects(b)
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.Check() != nil {
				t.Fatalf("%+v", o)
			}
		}
		if len(objects) > len(b)/3 { // each has an identifier at least
			t.Fatalf("%d objects out of %d bytes", len(objects), len(b))
		}
	})
}

func FuzzParseKeyPair(f *testing.F) {
	f.Add(unhex(f, "840102 850103"))
	f.Add(unhex(f, "840102 34454943864104"+"6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296"+"4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if pair, err := parseKeyPair("\x01", b); err == nil && (pair.Private.Check() != nil || pair.Public.Check() != nil) {
			t.Fatalf("%+v", pair)
		}
	})
}

func TestAListWithoutEndIsGivenUp(t *testing.T) {
	a, s := settled(t, "81CB 0100 00 > 6300")
	for range maxListRounds - 1 {
		s.steps = append(s.steps, "81CB 0101 00 > 6300")
	}
	if _, err := a.Objects(t.Context()); err == nil {
		t.Fatal("accepted")
	}
}

func TestOneObjectWithAndWithoutItsWrapper(t *testing.T) {
	for _, answer := range []string{"C309 830102 20020258 0000", "830102 20020258", "C313 730141 830102 600101 4A0101 20020258 210102"} {
		a, _ := settled(t, "81CB C300 03 830102 00 > "+answer+" 9000")
		if o, err := a.Object(t.Context(), File, "\x02"); err != nil || o.Size != 600 {
			t.Errorf("%s: %+v, %v", answer, o, err)
		}
	}
	for _, answer := range []string{"", "C303830103", "C3038301", "C302 4A00"} {
		a, _ := settled(t, "81CB C300 03 830102 00 > "+answer+" 9000")
		if o, err := a.Object(t.Context(), File, "\x02"); err == nil {
			t.Errorf("%s was taken for %+v", answer, o)
		}
	}
	a, _ := settled(t)
	if _, err := a.Object(t.Context(), File, ""); err == nil {
		t.Error("an empty identifier was sent")
	}
	if _, err := a.Object(t.Context(), 0xC9, "\x01"); err == nil {
		t.Error("an unknown kind was sent")
	}
}

func TestRandomComesInPiecesThatEveryCardGives(t *testing.T) {
	a, s := settled(t,
		"8184 0000 30 > "+strings.Repeat("11", 48)+"9000",
		"8184 0000 30 > "+strings.Repeat("22", 48)+"6300",
		"8184 0000 04 > 33339000 9000")
	b, err := a.Random(t.Context(), 100)
	if err != nil || len(b) != 100 || b[0] != 0x11 || b[95] != 0x22 || b[97] != 0x33 {
		t.Fatalf("% X, %v", b, err)
	}
	s.steps = []string{"8184 0000 10 > " + strings.Repeat("44", 16) + "9000"}
	if _, err := io.ReadFull(a.Rand(t.Context()), b[:16]); err != nil || b[15] != 0x44 {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{"short": "1111 9000", "zeros": strings.Repeat("00", 16) + "9000", "refused": "6F00", "cut": "cut"} {
		s.steps = []string{"8184 0000 10 > " + answer}
		if n, err := a.Rand(t.Context()).Read(b[:16]); err == nil || n != 0 {
			t.Errorf("%s: %d bytes were accepted", name, n)
		}
	}
}

func TestFilesAreReadInBlocksOfAnySize(t *testing.T) {
	block := func(x string, n int) string { return strings.Repeat(x, n) }
	for name, c := range map[string]struct {
		size, want int
		steps      []string
	}{
		"to its size":        {600, 600, []string{"81B00000 03830102 00 >" + block("11", 255) + "9000", "81B000FF 03830102 00 >" + block("22", 255) + "9000", "81B001FE 03830102 00 >" + block("33", 90) + "9000"}},
		"to an empty answer": {0, 4, []string{"81B00000 03830102 00 > 11111111 9000", "81B00004 03830102 00 > 9000"}},
		"to 6A86":            {0, 4, []string{"81B00000 03830102 00 > 11111111 9000", "81B00004 03830102 00 > 6A86"}},
		"to 6981":            {0, 4, []string{"81B00000 03830102 00 > 11111111 9000", "81B00004 03830102 00 > 6981"}},
		"more than asked":    {2, 2, []string{"81B00000 03830102 00 > 11111111 9000"}},
		"waiting":            {4, 4, []string{"81B00000 03830102 00 > 6104", "01C0000004 > 11111111 9000"}},
		"256 at once":        {256, 256, []string{"81B00000 03830102 00 >" + block("11", 256) + "9000"}},
		"zeros behind DER":   {8, 5, []string{"81B00000 03830102 00 > 3003020101 000000 9000"}},
		"more behind DER":    {8, 8, []string{"81B00000 03830102 00 > 3003020101 000001 9000"}},
		"not DER":            {4, 4, []string{"81B00000 03830102 00 > 7B7D0000 9000"}},
		"empty":              {0, 0, []string{"81B00000 03830102 00 > 9000"}},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := settled(t, c.steps...)
			if b, err := a.ReadFile(t.Context(), "\x02", c.size); err != nil || len(b) != c.want {
				t.Fatalf("%d bytes, %v", len(b), err)
			}
		})
	}
}

func TestTheHeadOfAFileIsOneCommand(t *testing.T) {
	const ask = "81B00000 03830102 04 > "
	a, s := settled(t, ask+"11223344 9000")
	if b, err := a.FileHead(t.Context(), "\x02", 4); err != nil || hex.EncodeToString(b) != "11223344" {
		t.Fatalf("%x, %v", b, err)
	}
	for answer, want := range map[string]string{"1122 9000": "1122", "1122334455 9000": "11223344"} {
		s.steps = []string{ask + answer}
		if b, err := a.FileHead(t.Context(), "\x02", 4); err != nil || hex.EncodeToString(b) != want {
			t.Errorf("%s: %x, %v", answer, b, err)
		}
	}
	for _, answer := range []string{"9000", "6985", "cut"} {
		s.steps = []string{ask + answer}
		if b, err := a.FileHead(t.Context(), "\x02", 4); err == nil {
			t.Errorf("%s was taken for %x", answer, b)
		}
	}
	for _, n := range []int{0, -1, 256} {
		if _, err := a.FileHead(t.Context(), "\x02", n); err == nil {
			t.Errorf("%d bytes were asked for", n)
		}
	}
}

func TestAFileThatEndsTooEarlyIsAnError(t *testing.T) {
	a, s := settled(t, "81B00000 03830102 00 > 11111111 9000", "81B00004 03830102 00 > 9000")
	if _, err := a.ReadFile(t.Context(), "\x02", 5); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	s.steps = []string{"81B00000 03830102 00 > 6985"}
	if _, err := a.ReadFile(t.Context(), "\x02", 5); !errors.Is(err, apdu.ConditionsNot) {
		t.Fatal(err)
	}
	s.steps = []string{"81B00000 03830102 00 > 6A86"}
	if _, err := a.ReadFile(t.Context(), "\x02", 0); !errors.Is(err, apdu.WrongP1P2) {
		t.Fatal("a refusal of the first block was taken for the end:", err)
	}
}

func TestAFileReplacedWhileItIsReadIsReadAnew(t *testing.T) {
	a, s := settled(t,
		"81B00000 03830102 00 > 1111 9000", "81B00002 03830102 00 > 2222 63CF",
		"81B00000 03830102 00 > 2222 9000", "81B00002 03830102 00 > 2222 9000", "81B00004 03830102 00 > 9000")
	before := a.Generation()
	b, err := a.ReadFile(t.Context(), "\x02", 0)
	if err != nil || hex.EncodeToString(b) != "22222222" || a.Generation() != before+1 {
		t.Fatalf("%x, %v", b, err)
	}
	s.steps = nil
	for range maxRereads {
		s.steps = append(s.steps, "81B00000 03830102 00 > 1111 9000", "81B00002 03830102 00 > 2222 63CF")
	}
	if b, err := a.ReadFile(t.Context(), "\x02", 0); err == nil {
		t.Fatalf("a mixture was returned: %x", b)
	}
}

func TestNoticesOfRemoteAdministrationAreCounted(t *testing.T) {
	a, _ := settled(t, "8184000001 > 01 9000", "8184000001 > 01 63CF", "8184000001 > 6984", "8184000001 > 6989", "8184000001 > 6985")
	var got []string
	for range 5 {
		_, err := a.Random(t.Context(), 1)
		got = append(got, fmt.Sprint(a.Generation(), Changed(err)))
	}
	if want := []string{"0 false", "1 false", "2 true", "3 true", "3 false"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("%v, want %v", got, want)
	}
}

func TestPublicKeysInBothForms(t *testing.T) {
	raw, key := point(t)
	for _, answer := range []string{"344549438641" + raw, raw} {
		a, _ := settled(t, "81CD0000 0485023033 00 > "+answer+"9000")
		if got, err := a.PublicKey(t.Context(), "03"); err != nil || !got.Equal(key) {
			t.Fatal(err)
		}
	}
	off := raw[:len(raw)-2] + fmt.Sprintf("%02x", unhex(t, raw)[64]^1)
	for _, answer := range []string{"", off, "344549438641" + off, raw[2:], "344549438641"} {
		a, _ := settled(t, "81CD0000 0485023033 00 > "+answer+"9000")
		if _, err := a.PublicKey(t.Context(), "03"); err == nil {
			t.Fatalf("%s was taken for a key", answer)
		}
	}
}

func TestGenerateTakesTheIdentifiersFromTheCard(t *testing.T) {
	raw, key := point(t)
	data := "344549438641" + raw
	read := func(id string) string { return "81CD0000" + id + "00 > " + data + "9000" }
	for name, c := range map[string]struct {
		steps           []string
		private, public ID
	}{
		"as specified":    {[]string{"81B90000 03840101 00 > 840102 850103" + data + "9000"}, "\x02", "\x03"},
		"waiting":         {[]string{"81B90000 03840101 00 > 614D", "01C000004D > 840102 850103" + data + "9000"}, "\x02", "\x03"},
		"the key alone":   {[]string{"81B90000 03840101 00 > " + data + "9000"}, "\x01", "\x01"},
		"a bare point":    {[]string{"81B90000 03840101 00 > " + raw + "9000"}, "\x01", "\x01"},
		"no key":          {[]string{"81B90000 03840101 00 > 840102 850103 9000", read("03850103")}, "\x02", "\x03"},
		"no key, no half": {[]string{"81B90000 03840101 00 > 840102 9000", read("03850102")}, "\x02", "\x02"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := settled(t, c.steps...)
			pair, err := a.GenerateKeyPair(t.Context(), "\x01")
			if err != nil || pair.Private != c.private || pair.Public != c.public || !pair.Key.Equal(key) {
				t.Fatalf("%+v, %v", pair, err)
			}
		})
	}
	for _, answer := range []string{"", "8400", "8401", "34020000"} {
		a, _ := settled(t, "81B90000 03840101 00 > "+answer+"9000")
		if pair, err := a.GenerateKeyPair(t.Context(), "\x01"); err == nil {
			t.Fatalf("%s was taken for %+v", answer, pair)
		}
	}
}

func TestDescriptionsSurviveTheWireInTheOrderThatAllReadersTake(t *testing.T) {
	o := Object{Kind: File, ID: "\x02", Label: "FLE1", Access: Readable, Active: true, Size: 600, Usage: X509Certificate}
	want := unhex(t, "C316 7304464C4531 830102 600101 4A0101 20020258 210102")
	if got := o.Append(nil); !bytes.Equal(got, want) {
		t.Fatalf("% X", got)
	}
	if got, err := ParseObject(File, want); err != nil || got != o {
		t.Fatalf("%+v, %v", got, err)
	}
}

func FuzzParseObject(f *testing.F) {
	f.Add(byte(File), unhex(f, "C316 7304464C4531 830102 600101 4A0101 20020258 210102"))
	f.Add(byte(PrivateKey), unhex(f, "840101 4B0113 610101 91020001"))
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		o, err := ParseObject(Kind(kind), b)
		if err != nil {
			return
		}
		first, err := ParseObject(o.Kind, o.Append(nil)) // drops what does not belong to the kind
		if err != nil {
			t.Fatalf("%+v cannot be read back: %v", o, err)
		}
		if second, err := ParseObject(o.Kind, first.Append(nil)); err != nil || second != first || second.ID != o.ID || second.Label != o.Label {
			t.Fatalf("%+v became %+v: %v", first, second, err)
		}
	})
}

func FuzzParseInfo(f *testing.F) {
	f.Add(Info{Version: 1, MaxFiles: 3}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if i, err := ParseInfo(b); err == nil && len(i.Append(nil)) != infoSize {
			t.Fatalf("%+v", i)
		}
	})
}
