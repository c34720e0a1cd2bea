package applet_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// The PSK 00 … 0F, and the seed "master secret", 20 … 5F. What the derivations from them
// are was computed apart from this program, the premaster secrets by hand:
//
//	plain  0010 00000000000000000000000000000000 0010 000102030405060708090A0B0C0D0E0F
//	ECDHE  0020 808182 … 9F                      0010 000102030405060708090A0B0C0D0E0F
const (
	pskHex      = "000102030405060708090A0B0C0D0E0F"
	zHex        = "808182838485868788898A8B8C8D8E8F909192939495969798999A9B9C9D9E9F"
	masterPSK   = "5619DC7AFBCB442E4BCA8D6828FB0AAFAC9986DCE644DB06EE0106B782D9B4798C6430441272175DDEB9E6471DDDFA5E"
	masterECDHE = "EB8F31EBAC96EE98A4FCFF4A58F17C08D89B74A709062A3AE9A6B1DDFB04EC851CE343E36410446FEB907859DD6C4B81"
	generalPSK  = "BFA17C6DDA38A3448885C48EA877F27A"
	earlySecret = "D926952CA8B7EC4A95941D1ADA3A5203CEFF8CCEEE34F574D23909EB314C40C0"
)

func seed() []byte {
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(0x20 + i)
	}
	return b
}

func pskSIM(t testing.TB) *sim {
	t.Helper()
	prfOnly, none := secret("\x02"), psk("\x04")
	none.Functions = 0
	contents := map[perso.Ref][]byte{}
	for _, id := range []iotsafe.ID{"\x01", "\x02", "\x04"} {
		contents[ref(iotsafe.SecretKey, id)] = unhex(t, pskHex)
	}
	labelled := psk("\x01")
	labelled.Label = "psk"
	return holding(t, 2, contents, labelled, prfOnly, psk("\x03"), none)
}

func TestE16PSKModesFormThePremasterSecretsOfTheRFCs(t *testing.T) {
	s := pskSIM(t)
	s.open()
	d2 := fmt.Sprintf("D24D%X%X", "master secret", seed())
	s.expect("0148010055 860101"+d2+"D30130 00", masterPSK+"9000")
	s.expect("0148020077 860101 D420"+zHex+d2+"D30130 00", masterECDHE+"9000")
	s.expect("0148000055 860101"+d2+"D30110 00", generalPSK+"9000")
	s.expect("0148010057 D30130"+d2+"760370736B 00", masterPSK+"9000") // by label, in another order
	s.expect("8148000055 860101"+d2+"D30110", "6110")
	s.expect("81C0000010", generalPSK+"9000")
	// A secret in the command comes before one that is named too.
	s.expect("8148000067 860101 D110"+pskHex+d2+"D30110 00", generalPSK+"9000")

	c := s.client()
	for _, x := range []struct {
		want string
		f    func() ([]byte, error)
	}{
		{masterPSK, func() ([]byte, error) { return c.PRFPSK(t.Context(), "\x01", "master secret", seed(), 48) }},
		{masterECDHE, func() ([]byte, error) {
			return c.PRFPSKECDHE(t.Context(), "\x01", unhex(t, zHex), "master secret", seed(), 48)
		}},
		{generalPSK, func() ([]byte, error) { return c.PRFSecret(t.Context(), "\x01", "master secret", seed(), 16) }},
		{generalPSK, func() ([]byte, error) { return c.PRF(t.Context(), unhex(t, pskHex), "master secret", seed(), 16) }},
		{earlySecret, func() ([]byte, error) { return c.HKDFExtractSecret(t.Context(), iotsafe.SHA256, "\x01", nil) }},
	} {
		if got, err := x.f(); err != nil || !bytes.Equal(got, unhex(t, x.want)) {
			t.Errorf("%X, %v: want %s", got, err, x.want)
		}
	}
}

func TestE15AndTheKnownVectorOfThePRF(t *testing.T) {
	s := pskSIM(t)
	s.open()
	got := s.say("004800005DD120C0485B054863F6DFA458789768B9035C6CACB160DD1A01834811F5783309DB81D236657874656E646564206D617374657220736563726574CE15B44D68440B652624244DB8D2FB7DD601C759E9EB627FB10529AB0DB76049D301FF00")
	if got != "6D00" { // not selected on the basic channel
		t.Fatal(got)
	}
	got = s.say("014800005DD120C0485B054863F6DFA458789768B9035C6CACB160DD1A01834811F5783309DB81D236657874656E646564206D617374657220736563726574CE15B44D68440B652624244DB8D2FB7DD601C759E9EB627FB10529AB0DB76049D301FF00")
	if len(got) != 2*257 || !strings.HasPrefix(got, "A1F02A766DA04C8FD83A40E358267528F8D815C48E3DC353D55FE3861C350622C78B48FE6F49F6E13E1B6B175CFE59FB") {
		t.Fatal(got)
	}
	// The vector of the IETF's TLS working group for P_SHA256, 100 bytes.
	s.expect("0148000031 D1109BBE436BA940F017B17652849A71DB35 D21A74657374206C6162656CA0BA9F936CDA311827A6F796FFD5198C D30164 00",
		"E3F229BA727BE17B8D122620557CD453C2AAB21D07C3D495329B52D4E61EDB5A6B301791E90D35C9C9A46B4E14BAF9AF0FA022F7077DEF17ABFD3797C0564BAB4FBC91666E9DEF9B97FCE34F796789BAA48082D122EE42C5A72E5A5110FFF70187347B66 9000")
}

func TestE17AndTheVectorsOfRFC5869(t *testing.T) {
	s := pskSIM(t)
	s.open()
	zeros := strings.Repeat("00", 32)
	s.expect("814A000048 D120"+zeros+"D520"+zeros+"91020001 00", "33AD0A1C607EC03B09E6CD9893680CE210ADF300AA1F2660E1B22E10F170F92A 9000")
	for data, want := range map[string]string{
		"D116" + strings.Repeat("0B", 22) + "D50D000102030405060708090A0B0C 91020001": "077709362C2E32DF0DDC3F0DC47BBA6390B6C73BB50F9C3122EC844AD7C2B3E5",
		"D116" + strings.Repeat("0B", 22) + "91020001":                                "19EF24A32C717B167F33A91D6F648BDF96596776AFDB6377AC434C1C293CCB04", // no salt
		"91020001 D500 D116" + strings.Repeat("0B", 22):                               "19EF24A32C717B167F33A91D6F648BDF96596776AFDB6377AC434C1C293CCB04", // an empty one
		"D150" + sequence(0x00, 80) + "D550" + sequence(0x60, 80) + "91020001":        "06A6B88C5853361A06104C9CEB35B45CEF760014904671014A193F40C15FC244",
		"860101 D520" + zeros + "91020001":                                            earlySecret,
	} {
		b := unhex(t, data)
		s.expect(fmt.Sprintf("814A0000%02X%X00", len(b), b), want+"9000")
	}
	c := s.client()
	for h, n := range map[iotsafe.Hash]int{iotsafe.SHA256: 32, iotsafe.SHA384: 48, iotsafe.SHA512: 64} {
		if prk, err := c.HKDFExtract(t.Context(), h, nil, nil); err != nil || len(prk) != n {
			t.Fatalf("%X, %v", prk, err)
		}
	}
}

func sequence(first, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(first + i)
	}
	return fmt.Sprintf("%X", b)
}

func TestWhatDerivationsRefuse(t *testing.T) {
	s := pskSIM(t)
	s.open()
	for command, want := range map[string]string{
		"48 0000 860101 D20161 D30100":                  "6A80", // nothing wanted
		"48 0000 860101 D20161 D3020010":                "6A80",
		"48 0000 860101 D20161":                         "6A80",
		"48 0000 860101 D30110":                         "6A80",
		"48 0000 D20161 D30110":                         "6A80", // no secret
		"48 0000 860101 D40161 D20161 D30110":           "6A80", // mode 02 only
		"48 0100 D10161 D20161 D30110":                  "6A80", // mode 01 has a stored secret
		"48 0100 860101 D40161 D20161 D30110":           "6A80",
		"48 0200 860101 D20161 D30110":                  "6A80", // no Z
		"48 0200 D10161 D40161 D20161 D30110":           "6A80",
		"48 0000 860101 D20161 D20161 D30110":           "6A80",
		"48 0000 860101 760370736B D20161 D30110":       "6A80",
		"48 0000 860101 D20161 D30110 D50161":           "6A80",
		"48 0000 860109 D20161 D30110":                  "6A82",
		"48 0000 760378797A D20161 D30110":              "6A82",
		"48 0000 860103 D20161 D30110":                  "6985", // empty
		"48 0000 860104 D20161 D30110":                  "6985", // not for derivation
		"48 0300 860101 D20161 D30110":                  "6A86",
		"48 0001 860101 D20161 D30110":                  "6A86",
		"4A 0000 D10161 D50161":                         "6A80", // no hash
		"4A 0000 D10161 D50161 91020003":                "6A80",
		"4A 0000 D10161 D50161 910101":                  "6A80",
		"4A 0000 D50161 91020001":                       "6A80",
		"4A 0000 D10161 D50161 91020001 D20161":         "6A80",
		"4A 0000 860102 D50161 91020001":                "6985", // for the PRF only
		"4A 0000 860109 D50161 91020001":                "6A82",
		"4A 0100 860101 D50161 91020001":                "6A86",
		"4A 0001 860101 D50161 91020001":                "6A86",
		"4A 0000 D1":                                    "6A80",
		"48 0000 D1 10 61":                              "6A80",
		"48 0000 860101 D20161 D30110 C1 00 C2 00 C300": "6A80",
	} {
		b := unhex(t, command)
		s.expect(fmt.Sprintf("81%X%02X%X00", b[:3], len(b)-3, b[3:]), want)
	}
	c := s.client()
	if _, err := c.PRFPSK(t.Context(), "\x03", "x", nil, 16); !errors.Is(err, apdu.ConditionsNot) || !strings.Contains(err.Error(), "not put") {
		t.Fatal(err)
	}
	if _, err := c.PRF(t.Context(), []byte("s"), "x", nil, 256); err == nil {
		t.Fatal("more than a command asks for")
	}
	if _, err := c.PRF(t.Context(), make([]byte, 200), "x", make([]byte, 200), 16); err == nil {
		t.Fatal("more than a command carries")
	}
	if s.commits != 0 {
		t.Fatal("written")
	}
}
