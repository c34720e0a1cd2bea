package modem

import (
	"errors"
	"strings"
	"testing"
)

// Whatever a modem says: what is taken for an answer of the SIM is a whole one, and
// everything else is an error that says so.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		`+CSIM: 12,"AABBCCDD9000"`, "+CSIM: 8,\"AABB\n+CREG: 1\n9000\"", "+CSIM: 4,9000\nRING", "+CCHO: 7", "000000000385a7cf",
		"", `+CRSM: 144,0,"98103254769810325476"`, "+CRSM: 106,130", "+CME ERROR: SIM busy", "ERROR", "+CSIM: 99999,\"", "+CCHO: ,",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, said string) {
		lines := strings.Split(said, "\n")
		b, err := findAnswer(lines, "+CSIM:")
		switch {
		case err == nil && len(b) < 2, err == nil && b[len(b)-2] < 0x61:
			t.Errorf("%q was taken for the answer % X", said, b)
		case err != nil && !errors.Is(err, ErrTorn) && !errors.Is(err, ErrBareOK):
			t.Errorf("%q: %v", said, err)
		}
		if b, err := findFile(lines); err == nil && len(b) < 2 {
			t.Errorf("%q was taken for the file % X", said, b)
		}
		if handle, err := findSession(lines); err == nil && (handle == "" || !isHex(handle)) {
			t.Errorf("%q was taken for the handle %q", said, handle)
		}
		for _, l := range lines {
			if err, final := finalResult(l); err != nil && !final {
				t.Errorf("%q is an error and no result", l)
			}
		}
		ownWords(lines, "AT+CGMI")
	})
}
