package modem

import (
	"strings"
	"testing"
)

var seeds = []string{
	"AT\r", "ATZ\r\n", "ATE1\r", "ATE0\r", "ATV0\r", "A/", "AT+CMEE=1\r", "AT+CMEE=2\r", "AT+CFUN=0\r", "AT+CFUN=1,1\r",
	"AT+CSIM= 10,\"0070000001\"\r", "AT+CSIM=24, \"01A4040007A0000005590010\"\r", "AT+CSIM=?\r", "AT+CSIM=10,8184000000\r",
	"AT+CCHO=\"A0000005590010\"\r", "AT+CGLA=1,10,\"8084000010\"\r", "AT+CGLA=7,14,\"80EC000002ABCD\"\r", "AT+CCHC=1\r",
	"AT+CRSM=176,12258,0,0,10,,\"3F00\"\r", "AT+CRSM=176,28423,0,0,9,\"\",\"7FFF\"\r", "AT+CRSM=242\r", "AT+CRSM=214,12258,0,0,2,\"ABCD\"\r",
	"ATI;+CGSN;+CIMI;+CCID;+CPIN?\r", "AT+CSIM=10,\"00;0,\"0001\r", "AT+\b\b\b=;?\r", "AT&\r", "\"\r", "AT+=\r", "AT+CSIM=,,,,\r", "AT+CMEE=\"1\r",
}

// FuzzInput: nothing that a terminal sends brings the modem down, is answered without
// bounds, or leaves it mute.
func FuzzInput(f *testing.F) {
	for i, s := range seeds {
		f.Add(byte(i), []byte(s))
		f.Add(byte(0), []byte(strings.Join(seeds[:i+1], "")))
	}
	f.Fuzz(func(t *testing.T, personality byte, in []byte) {
		if len(in) > 2*maxLine {
			return
		}
		p := personalities[int(personality)%len(personalities)]
		m := New(newSIM(), p)
		out, err := m.Input(t.Context(), in)
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		// The shortest command with an answer has six characters, the longest answer a
		// few hundred, and an unsolicited line may come before and after.
		if len(out) > 700*(len(in)+1) {
			t.Fatalf("%d bytes were answered with %d", len(in), len(out))
		}
		if len(m.line) > maxLine || cap(m.line) > 2*maxLine {
			t.Fatalf("a line of %d characters is kept", len(m.line))
		}
		for _, s := range m.sessions {
			if s.channel == 0 {
				t.Fatal("a session on the basic channel")
			}
		}
		m.HangUp()
		out, err = m.Input(t.Context(), []byte("ATZ\r"))
		if got := string(out); err != nil || !strings.HasSuffix(got, "\r\nOK\r\n") {
			t.Fatalf("after %q: ATZ is answered %q, %v", in, got, err)
		}
	})
}
