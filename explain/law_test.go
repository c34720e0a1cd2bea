package explain_test

import (
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/explain"
)

// secret is bytes that occur nowhere by chance.
func secret(t *rapid.T) []byte {
	return rapid.SliceOfN(rapid.Byte(), 16, 64).Draw(t, "secret")
}

// places are where secrets pass, as command and answer.
var places = map[string]func(secret []byte) (command apdu.Command, answer []byte){
	"premaster of PRF": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x81, INS: 0x48, Data: field(0xD1, s)}, s
	},
	"ECDH result": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x81, INS: 0x48, P1: 2, Data: field(0xD4, s)}, nil
	},
	"key and salt of HKDF": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x81, INS: 0x4A, Data: append(field(0xD1, s), field(0xD5, s)...)}, s
	},
	"answer to COMPUTE DH": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x81, INS: 0x46, Data: []byte{0x84, 1, 4, 0x85, 1, 5}}, s
	},
	"random bytes": func(s []byte) (apdu.Command, []byte) { return apdu.Command{CLA: 0x81, INS: 0x84, Le: len(s)}, s },
	"text to encipher": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x81, INS: 0x5D, P1: 0x80, Data: s}, nil
	},
	"deciphered text": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x81, INS: 0x5F, P1: 0x80, Data: []byte{1}}, s
	},
	"PIN": func(s []byte) (apdu.Command, []byte) { return apdu.Command{INS: 0x20, P2: 1, Data: s}, nil },
	"key of a DGI": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x80, INS: 0xE2, P1: 0x88, Data: append([]byte{0x81, 0x13, byte(len(s))}, s...)}, nil
	},
	"IMSI":            func(s []byte) (apdu.Command, []byte) { return apdu.Command{INS: 0xB0, Le: len(s)}, s },
	"unknown command": func(s []byte) (apdu.Command, []byte) { return apdu.Command{CLA: 0x81, INS: 0x7E, Data: s}, s },
	"unknown field": func(s []byte) (apdu.Command, []byte) {
		return apdu.Command{CLA: 0x81, INS: 0x48, Data: field(0xDF, s)}, nil
	},
	"data out of place": func(s []byte) (apdu.Command, []byte) { return apdu.Command{CLA: 0x81, INS: 0x84, Data: s}, nil },
}

func field(tag byte, value []byte) []byte { return append([]byte{tag, byte(len(value))}, value...) }

// What may be secret shows in no form unless it is asked for, and then it does.
func TestSecretsShowOnlyWhenAskedFor(t *testing.T) {
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				value := secret(t)
				c, answer := place(value)
				command, err := c.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				for _, show := range []bool{false, true} {
					s := explain.New(explain.Options{ShowSecrets: show})
					told := tell(t, s.Command(command), s.Answer(append(answer, 0x90, 0x00)))
					if shown := strings.Contains(told, fmt.Sprintf("%X", value)); shown != show {
						t.Fatalf("shown: %v, want %v:\n%s", shown, show, told)
					}
				}
			})
		})
	}
}

// The same holds for an answer that comes in parts, and for one whose command is unknown.
func TestSecretsInPartsOrAloneDoNotShow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := secret(t)
		s := explain.New(explain.Options{})
		told := tell(t,
			s.Command([]byte{0x81, 0x46, 0, 0, 6, 0x84, 1, 4, 0x85, 1, 5}),
			s.Answer(append(value[:8:8], 0x61, byte(len(value)-8))),
			s.Command([]byte{0x01, 0xC0, 0, 0, byte(len(value) - 8)}),
			s.Answer(append(value[8:], 0x90, 0x00)),
			explain.New(explain.Options{}).Answer(append(append([]byte{0xDF}, value...), 0x90, 0x00)))
		for _, part := range [][]byte{value[:8], value[8:16]} {
			if strings.Contains(told, fmt.Sprintf("%X", part)) {
				t.Fatalf("%X shows in\n%s", part, told)
			}
		}
	})
}

// tell is explanations as text and as JSON.
func tell(t *rapid.T, all ...explain.Explanation) string {
	var b strings.Builder
	for _, e := range all {
		b.WriteString(e.String())
		j, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(j)
	}
	return b.String()
}

// Explaining one conversation does not depend on how its answers are cut for GET RESPONSE.
func TestAnswersInPartsAreToldAsOne(t *testing.T) {
	command := []byte{0x81, 0xCD, 0, 0, 3, 0x85, 1, 3}
	data, err := hex.DecodeString("34454943864104" + strings.Repeat("AB", 64))
	if err != nil {
		t.Fatal(err)
	}
	whole := explain.New(explain.Options{})
	whole.Command(command)
	want := whole.Answer(append(data[:71:71], 0x90, 0x00)).String()
	rapid.Check(t, func(t *rapid.T) {
		s := explain.New(explain.Options{})
		s.Command(command)
		rest := data
		for cuts := rapid.IntRange(0, 3).Draw(t, "cuts"); cuts > 0 && len(rest) > 1; cuts-- {
			n := rapid.IntRange(0, len(rest)-1).Draw(t, "size")
			s.Answer(append(rest[:n:n], 0x61, byte(len(rest)-n)))
			s.Command([]byte{0x01, 0xC0, 0, 0, byte(len(rest) - n)})
			rest = rest[n:]
		}
		if got := s.Answer(append(rest[:len(rest):len(rest)], 0x90, 0x00)).String(); got != want {
			t.Fatalf("got\n%swant\n%s", got, want)
		}
	})
}

// A name in a certificate may hold anything; the terminal does not hear of it.
func TestNamesFromOutsideDoNotReachTheTerminal(t *testing.T) {
	der := certificateNamed(t, "evil\x1b[2Jname")
	if _, err := x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	s := explain.New(explain.Options{})
	for at := 0; at < len(der); at += 200 {
		s.Command([]byte{0x81, 0xB0, byte(at >> 8), byte(at), 3, 0x83, 1, 2})
		e := s.Answer(append(der[at:min(at+200, len(der)):min(at+200, len(der))], 0x90, 0x00))
		if text := e.String(); strings.Contains(text, "\x1b") {
			t.Fatalf("%q", text)
		}
	}
	for _, label := range []string{"\x1b[2J", "a\nb"} {
		data := field(0x73, []byte(label))
		if text := s.Command(append([]byte{0x81, 0xCB, 0xC3, 0, byte(len(data))}, data...)).String(); strings.ContainsAny(text, "\x1b") || strings.Contains(text, label) {
			t.Fatalf("%q", text)
		}
	}
}
