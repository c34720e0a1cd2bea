package laws

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

// secret is something that the platform uses and that is nobody else's.
type secret struct {
	name  string
	value []byte
	// told is the one operation that may answer with it, "METHOD path": it is shown there once to
	// whom it is for. Empty: none may.
	told string
}

// writings are all the ways in which bytes end up in a text, a file or an answer.
func writings(value []byte) map[string][]byte {
	low := hex.EncodeToString(value)
	all := map[string][]byte{
		"raw": value, "hexadecimal": []byte(low), "upper-case hexadecimal": []byte(strings.ToUpper(low)),
		"numbers":      []byte(strings.Trim(fmt.Sprint(value), "[]")),
		"JSON numbers": []byte(strings.ReplaceAll(strings.Trim(fmt.Sprint(value), "[]"), " ", ",")),
	}
	// In base64 the same bytes look different at each of three places of a longer whole, and share
	// their first and last character with what is beside them.
	for name, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 for URLs": base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.EncodeToString(append(make([]byte, before), value...))
			first, last := (before*8+5)/6, (before+len(value))*8/6
			all[fmt.Sprintf("%s, %d bytes in", name, before)] = []byte(text[first:last])
		}
	}
	return all
}

// breaks is what a text may be broken with: lines, their escapes in JSON and logs, and what stands
// between pairs of digits.
var breaks = strings.NewReplacer("\r", "", "\n", "", `\r`, "", `\n`, "", ":", "", " ", "")

// searched is a text as it is and without its breaks.
type searched struct{ text, whole []byte }

func search(text []byte) searched { return searched{text, []byte(breaks.Replace(string(text)))} }

// find returns in which of its writings a text holds a secret, or "".
func (s searched) find(writings map[string][]byte) string {
	for name, writing := range writings {
		if bytes.Contains(s.text, writing) || bytes.Contains(s.whole, writing) {
			return name
		}
	}
	return ""
}

// The search for secrets finds a secret in whatever way it is written.
func TestASecretIsFoundInEveryWriting(t *testing.T) {
	value := make([]byte, 32)
	rand.Read(value) // never fails (crypto/rand)
	low := hex.EncodeToString(value)
	der := append(append([]byte("in front"), value...), "behind"...)
	for name, text := range map[string]string{
		"raw": string(value), "hex": low, "HEX": strings.ToUpper(low), "pairs": fmt.Sprintf("% x", value),
		"numbers": fmt.Sprint(value), "base64": base64.StdEncoding.EncodeToString(value), "base64url": base64.RawURLEncoding.EncodeToString(value),
		"within a PEM":             string(pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: der})),
		"a logged PEM":             strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "KEY", Bytes: der[1:]})), "\n", `\n`),
		"in base64 after two more": base64.URLEncoding.EncodeToString(der[2:]),
	} {
		if search([]byte("before "+text+" after")).find(writings(value)) == "" {
			t.Errorf("%s: not found", name)
		}
	}
	other := bytes.Clone(value)
	other[7] ^= 1
	if writing := search([]byte(hex.EncodeToString(other) + string(other))).find(writings(value)); writing != "" {
		t.Error("another secret is taken for this one:", writing)
	}
}
