package applet_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/simroot/simroot/iotsafe"
)

// The exchanges of clients in the field, as captured from them.

const digestHex = "B94D27B9934D3E08A52E52D7DA7DABFAC484EFE37A5380EE9088F7ACE2EFCDE9" // of "hello world"

// fieldSIM has the objects that those exchanges name.
func fieldSIM(t testing.TB) *sim {
	t.Helper()
	s := newSIM(t, 1,
		privateKey("006", "zariot"), publicKey("007", "zariot"),
		privateKey("\x01", "common"), publicKey("\x01", "common"),
		volatile(privateKey("\x04", "ephemeral")), volatile(publicKey("\x05", "ephemeral")),
		file("\x02", "FLE1", 2048), secret("\x09"),
	)
	s.personalize(keyPair("006", "007")...)
	s.personalize(keyPair("\x01", "\x01")...)
	s.personalize(content("\x02", bytes.Repeat([]byte{0x5A}, 600))...)
	s.uicc.Reset() // no notices
	return s
}

func point(t testing.TB, s *sim, id iotsafe.ID) *ecdsa.PublicKey {
	t.Helper()
	for _, c := range s.applet.State().Objects {
		if c.Object.Kind == iotsafe.PublicKey && c.Object.ID == id {
			key, err := iotsafe.ParsePublicKey(c.Content)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
	}
	t.Fatalf("no public key %s", id)
	return nil
}

// verify wants an answer that is a good signature behind the given header.
func verify(t testing.TB, key *ecdsa.PublicKey, digest []byte, header, answer string) {
	t.Helper()
	b := unhex(t, answer)
	if !strings.HasPrefix(answer, header) || !strings.HasSuffix(answer, "9000") || len(b) != len(header)/2+64+2 {
		t.Fatalf("answer %s: want %s, r, s, 9000", answer, header)
	}
	b = b[len(header)/2:]
	r, s := new(big.Int).SetBytes(b[:32]), new(big.Int).SetBytes(b[32:64])
	if !ecdsa.Verify(key, digest, r, s) {
		t.Fatalf("signature %s does not verify", answer)
	}
}

func TestE1OpenAndSelect(t *testing.T) {
	s := fieldSIM(t)
	s.expect("0070000000", "01 9000")
	s.expect("01A4040007A0000005590010", "9000")
}

func TestE2EveryAIDInUse(t *testing.T) {
	s := fieldSIM(t)
	s.expect("01A404000FA00000003053F1240177010149534100", "9000")
	s.expect("02A4040007A0000002480400", "9000")
}

func TestE4SignAsZariotDoes(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	s.expect("812A00010F8403303036A1010391020001920104", "9000")
	s.expect("812B8001229E20"+digestHex, "6143")
	verify(t, point(t, s, "007"), unhex(t, digestHex), "330040", s.say("81C0000043"))
	s.expect("812A010100", "9000")
}

func TestE5SignAsThalesDoes(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	for range 2 { // never closed, and opened again under the same number
		s.expect("012A00000D840101A1010391020001920104", "9000")
		verify(t, point(t, s, "\x01"), unhex(t, digestHex), "3340", s.say("012B8000229E20"+digestHex+"00"))
	}
}

func TestE6SignFullTextAsOrangeDoes(t *testing.T) {
	text := sha256.Sum256([]byte{0xAB, 0xCD, 0xEF})
	for _, data := range []string{"9B03ABCDEF", "9B000003ABCDEF", "9B8103ABCDEF"} {
		s := fieldSIM(t)
		s.open()
		s.expect("012A0101", "9000") // close first
		s.expect("012A00010D840101A1010191020001920104", "9000")
		verify(t, point(t, s, "\x01"), text[:], "3340", s.say(fmt.Sprintf("012B8001%02X%s00", len(data)/2, data)))
		s.expect("012A0101", "9000")
	}
}

func TestE9ReadAPublicKey(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	want, err := iotsafe.AppendPublicKey(nil, point(t, s, "007"))
	if err != nil {
		t.Fatal(err)
	}
	s.expect("81CD0000058503303037", "6147")
	s.expect("81C0000047", fmt.Sprintf("%X9000", want))
}

func TestE12Random(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	for le, n := range map[string]int{"08": 8, "01": 1, "FF": 255, "00": 256} {
		if got := s.say("81840000" + le); len(got) != 2*(n+2) || !strings.HasSuffix(got, "9000") {
			t.Fatalf("Le %s: %s", le, got)
		}
	}
	s.expect("81840000", "6700")
	s.expect("8184010008", "6A86")
}

func TestE13SizeAndContentOfAFile(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	block := func(n int) string { return strings.Repeat("5A", n) + "9000" }
	s.expect("01CBC3000383010200", "C316 7304464C4531 830102 600101 4A0101 20020258 210102 9000")
	s.expect("01B000000383010200", block(255))
	s.expect("01B000FF0383010200", block(255))
	s.expect("01B001FE0383010200", block(90))
	s.expect("01B002580383010200", "9000") // at the end
	s.expect("01B002590383010200", "6A86") // behind it
	s.expect("01B000000383010232", block(50))
	s.expect("81B0000003830102", "61FF") // as wolfSSL does
	s.expect("01C00000FF", block(255))
	s.expect("01B00000067304464C453132", block(50)) // by label
}

func TestE14ApplicationInformation(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	id := s.applet.State().Identifier
	got := s.say("01CB000044")
	if len(got) != 2*(68+2) || !strings.HasPrefix(got, fmt.Sprintf("1001011120%X", id)) || !strings.Contains(got, "91020007920107") {
		t.Fatal(got)
	}
}

func TestE18GenerateAsThalesAndWolfSSLDo(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	got := s.say("01B900000384010400")
	if !strings.HasPrefix(got, "84010485010534454943864104") || !strings.HasSuffix(got, "9000") || len(got) != 2*(77+2) {
		t.Fatal(got)
	}
	s.expect("81B9000003840104", "614D")
	again := s.say("01C000004D")
	if len(again) != 2*(77+2) || again == got {
		t.Fatal(again)
	}
}

func TestACommandThatIsNotThereIsRefusedOnBothClasses(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	for _, cla := range []string{"01", "81"} {
		s.expect(cla+"2E00010D850105A1010191020001920104", "6D00")
	}
	s.expect("85CB000044", "6882")
}
