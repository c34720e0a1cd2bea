package modem

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAnswersHaveTheFormThatClientsExpect(t *testing.T) {
	m, _ := with(t, "")
	for _, exchange := range [][2]string{ // byte for byte what pySim waits for
		{"AT\r", "\r\nOK\r\n"},
		{"ATZ\r", "\r\nOK\r\n"},
		{"AT+CSIM=?\r", "\r\nOK\r\n"},
		{"AT+CSIM=14,\"00A40004023F00\"\r", "\r\n+CSIM: 4,\"6106\"\r\n\r\nOK\r\n"},
		{"AT+CSIM=10,\"00c0000006\"\r", "\r\n+CSIM: 16,\"620483023F009000\"\r\n\r\nOK\r\n"},
	} {
		got, err := m.Input(t.Context(), []byte(exchange[0]))
		if err != nil || string(got) != exchange[1] {
			t.Errorf("%q: %q, %v; want %q", exchange[0], got, err, exchange[1])
		}
	}
}

func TestBasicCommands(t *testing.T) {
	m, _ := with(t, "")
	talk(t, m,
		"AT > |OK|",
		"at > |OK|",
		"  AT   > |OK|",
		"ATE0 > |OK|",
		"ATE0Q0V1X4&C1&D2 > |OK|",
		"AT E0 V1 ; +CMEE=1 > |OK|",
		"ATI > |simroot|virtual modem|Revision: 1||OK|",
		"AT&F0 > |OK|",
		"AT&W > |OK|",
		"ATE2 > |ERROR|",
		"ATD123; > |ERROR|",
		"AT& > |ERROR|",
		"AT1 > |ERROR|",
		"ATV0 > 0\r",
		"AT+CMEE? > +CMEE: 0|0\r",
		"AT+NONE > 4\r",
		"ATV1Q1 > ",
		"ATI > |simroot|virtual modem|Revision: 1|",
		"ATZ > |OK|",
	)
}

func TestLinesThatAreNoCommandsHaveNoAnswer(t *testing.T) {
	m, _ := with(t, "")
	talk(t, m, " > ", "A > ", "hello > ", "+CSIM=? > ", "A T > ")
	for text, want := range map[string]string{
		"\n\r\n\r\nAT\r\n": "|OK|",
		"AX\bT\r":          "|OK|",
		"\b\bAT\r":         "|OK|",
		"AT\n\r":           "|OK|",
	} {
		if got := say(t, m, text); got != want {
			t.Errorf("%q was answered %s: want %s", text, got, want)
		}
	}
}

func TestEchoComesBackUntilSwitchedOff(t *testing.T) {
	m, _ := with(t, "echo")
	talk(t, m,
		"AT > AT\r|OK|",
		"AT+CSIM=? > AT+CSIM=?\r|OK|",
		"ATE0 > ATE0\r|OK|",
		"AT > |OK|",
		"ATE1 > |OK|",
		"AT > AT\r|OK|",
		"ATE0 > ATE0\r|OK|",
		"ATZ > |OK|",
		"ATZ > ATZ\r|OK|",
	)
}

func TestLastLineIsRepeatedWithoutCR(t *testing.T) {
	m, s := with(t, "")
	talk(t, m, `AT+CSIM=10,"0070000001" > |+CSIM: 6,"019000"||OK|`)
	if got := say(t, m, "A/"); got != `|+CSIM: 6,"029000"||OK|` {
		t.Errorf("A/ was answered %s", got)
	}
	s.wantSeen(t, "0070000001", "0070000001")
	m, _ = with(t, "")
	if got := say(t, m, "a/AT\r"); got != "|OK|" {
		t.Errorf("A/ before any line: %s", got)
	}
}

func TestSeveralCommandsInOneLineEndWithTheFirstError(t *testing.T) {
	m, s := with(t, "")
	talk(t, m,
		`AT+CGMM;+CSIM=10,"0070000001";+CMEE=1 > |virtual modem||+CSIM: 6,"019000"||OK|`,
		`ATE0+CMEE?;+CSIM=9,"0070000001";+CSIM=10,"0070000001" > |+CMEE: 1||+CME ERROR: 50|`,
		`AT;;+CMEE=0; > |OK|`,
	)
	s.wantSeen(t, "0070000001")
}

func TestErrorsAreReportedAsAsked(t *testing.T) {
	m, _ := with(t, "")
	talk(t, m,
		"AT+CMEE? > |+CMEE: 0||OK|",
		"AT+CMEE=? > |+CMEE: (0-2)||OK|",
		"AT+CCHC=9 > |ERROR|",
		"AT+CMEE=1 > |OK|",
		"AT+CCHC=9 > |+CME ERROR: 21|",
		"AT+CMEE=2 > |OK|",
		"AT+CCHC=9 > |+CME ERROR: invalid index|",
		"AT+CMEE=3 > |+CME ERROR: incorrect parameters|",
		"AT+CMEE= > |+CME ERROR: incorrect parameters|",
		"AT+CMEE > |+CME ERROR: operation not supported|",
		"AT+COPS=? > |ERROR|", // unknown: whatever +CMEE says
		"AT^SIQ > |ERROR|",
		"AT+CMEE?? > |ERROR|",
		`AT+CSIM=10,"00700000 > |ERROR|`,
	)
}

func TestEveryCommandHasItsTestForm(t *testing.T) {
	m, s := with(t, "")
	for name := range commands {
		if name[0] != '+' {
			continue
		}
		if got := say(t, m, "AT"+name+"=?\r"); !strings.HasSuffix(got, "|OK|") {
			t.Errorf("AT%s=? was answered %s", name, got)
		}
	}
	s.wantSeen(t) // none of them asks the card
}

func TestIdentity(t *testing.T) {
	m, _ := with(t, "")
	talk(t, m,
		"AT+CGMI > |simroot||OK|", "AT+CGMM > |virtual modem||OK|", "AT+CGMR > |1||OK|",
		"AT+CGSN > |001017000000003||OK|", "AT+GSN > |001017000000003||OK|",
		"AT+CIMI > |901010000000001||OK|",
		"AT+CCID > |+CCID: 89882119900000000017||OK|", "AT+CCID? > |+CCID: 89882119900000000017||OK|",
		"AT+ICCID > |+ICCID: 89882119900000000017||OK|",
		"AT+CGMI? > |ERROR|", "AT+CIMI=1 > |ERROR|", "AT+CCID=1 > |ERROR|",
	)
}

func TestIMEIHasItsCheckDigit(t *testing.T) {
	sum := 0
	for i, d := range imei {
		n := int(d - '0')
		if i%2 == 1 {
			n = 2*n/10 + 2*n%10
		}
		sum += n
	}
	if len(imei) != 15 || sum%10 != 0 {
		t.Errorf("IMEI %s: %d digits, check sum %d", imei, len(imei), sum)
	}
}

func TestCardWithoutUSIMIsTheWrongCardForAPhone(t *testing.T) {
	m, s := with(t, "echo")
	s.noUSIM = true
	talk(t, m, "ATE0 > ATE0\r|OK|", "AT+CIMI > |+CME ERROR: 15|", "AT+CRSM=176,28423,0,0,9,,\"7FFF\" > |+CRSM: 106,130||OK|")
	if len(s.channels) != 1 {
		t.Errorf("%d channels are left open", len(s.channels)-1)
	}
}

func TestIMSIOfEveryLengthIsRead(t *testing.T) {
	for file, want := range map[string]string{
		"089910100000000010": "901010000000001", // 15 digits
		"0891101000000000F0": "90101000000000",  // 14, and a filler
		"0491101032":         "9010123",
	} {
		if got, ok := decodeIMSI(unhex(file)); !ok || got != want {
			t.Errorf("%s is %q, %v: want %s", file, got, ok, want)
		}
	}
	for _, file := range []string{"", "00", "FFFFFFFFFFFFFFFFFF", "0899", "0199", "08991A100000000010"} {
		if got, ok := decodeIMSI(unhex(file)); ok {
			t.Errorf("%s is taken for IMSI %s", file, got)
		}
	}
}

func TestPowerOfTheSIM(t *testing.T) {
	m, s := with(t, "")
	talk(t, m, "AT+CMEE=1 > |OK|", `AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`)
	resets := s.resets
	talk(t, m,
		"AT+CPIN? > |+CPIN: READY||OK|",
		"AT+CPIN=1234 > |+CME ERROR: 3|",
		"AT+CFUN? > |+CFUN: 1||OK|",
		"AT+CFUN=? > |+CFUN: (0,1,4,15),(0,1)||OK|",
		"AT+CFUN=1 > |OK|",
		"AT+CFUN=4 > |OK|",
	)
	if s.resets != resets {
		t.Errorf("the card was reset %d times without need", s.resets-resets)
	}
	talk(t, m,
		"AT+CFUN=0 > |OK|",
		"AT+CFUN? > |+CFUN: 0||OK|",
		"AT+CPIN? > |+CME ERROR: 10|",
		"AT+CCID > |+CME ERROR: 10|",
		`AT+CSIM=10,"0070000001" > |+CME ERROR: 10|`,
		`AT+CCHO="A0000005590010" > |+CME ERROR: 10|`,
		"AT+CRSM=242 > |+CME ERROR: 10|",
		"AT+CFUN=1 > |OK|",
		"AT+CPIN? > |+CPIN: READY||OK|",
		`AT+CGLA=1,10,"8084000010" > |+CME ERROR: 21|`, // sessions do not outlive the power
	)
	for _, command := range []string{"AT+CFUN=1,1", "AT+CFUN=15"} {
		resets = s.resets
		talk(t, m, "AT+CMEE=1 > |OK|", command+" > |OK|", "AT+CMEE? > |+CMEE: 0||OK|")
		if s.resets != resets+1 {
			t.Errorf("%s reset the card %d times", command, s.resets-resets)
		}
	}
	talk(t, m, "AT+CFUN=2 > |ERROR|", "AT+CFUN=1,2 > |ERROR|", "AT+CFUN= > |ERROR|", "AT+CFUN > |ERROR|", "AT+CFUN=16 > |ERROR|")
}

func TestGenericAccessTakesWhatClientsWrite(t *testing.T) {
	m, s := with(t, "")
	talk(t, m,
		`AT+CSIM= 10,"0070000001" > |+CSIM: 6,"019000"||OK|`, // wolfSSL
		`AT+CSIM=24, "01A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CSIM=10,8184000004 > |+CSIM: 12,"040404049000"||OK|`,
		`at+csim=16,"81ec0000 02abcd" > |ERROR|`,
		`at+csim=14,"81ec000002abcd" > |+CSIM: 4,"6102"||OK|`,
		`AT+CSIM = "10" , "01c0000002" > |+CSIM: 8,"ABCD9000"||OK|`,
		`AT+CSIM=8,"00A404" > |ERROR|`,
		`AT+CSIM=6,"00A404" > |+CSIM: 4,"6700"||OK|`, // for the card to refuse
	)
	s.wantSeen(t, "0070000001", "01A4040007A0000005590010", "8184000004", "81EC000002ABCD", "01C0000002", "00A404")
	m.settings.errors = errorsNumeric
	talk(t, m,
		`AT+CSIM > |+CME ERROR: 50|`, `AT+CSIM? > |+CME ERROR: 50|`, `AT+CSIM=10 > |+CME ERROR: 50|`, `AT+CSIM=,"00" > |+CME ERROR: 50|`,
		`AT+CSIM=0,"" > |+CME ERROR: 50|`, `AT+CSIM=3,"00A" > |+CME ERROR: 50|`, `AT+CSIM=4,"00XX" > |+CME ERROR: 50|`,
		`AT+CSIM=10,"0070000001",1 > |+CME ERROR: 50|`, `AT+CSIM=-2,"00" > |+CME ERROR: 50|`, `AT+CSIM=99999999999,"00" > |+CME ERROR: 50|`,
		`AT+CSIM=524,"`+strings.Repeat("00", 262)+`" > |+CME ERROR: 24|`,
	)
	s.wantSeen(t)
}

func TestLongestAPDUsTravelWhole(t *testing.T) {
	m, _ := with(t, "")
	talk(t, m, `AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`)
	data := strings.Repeat("5A", 255)
	talk(t, m, `AT+CSIM=522,"80EC0000FF`+data+`00" > |+CSIM: 514,"`+data+`9000"||OK|`)
	talk(t, m, `AT+CSIM=10,"8084000000" > |+CSIM: 516,"`+strings.Repeat("04", 256)+`9000"||OK|`)
}

func TestLineThatIsTooLongIsRefusedAndForgotten(t *testing.T) {
	m, s := with(t, "")
	talk(t, m,
		"AT+CSIM="+strings.Repeat("0", 2*maxLine)+" > |ERROR|",
		"AT > |OK|",
		"AT+CMEE=1"+strings.Repeat(" ", maxLine-9)+" > |OK|", // just fits
		"AT+CMEE=2"+strings.Repeat(" ", maxLine-8)+" > |ERROR|",
	)
	if cap(m.line) > 2*maxLine {
		t.Errorf("the line has room for %d characters", cap(m.line))
	}
	s.wantSeen(t)
}

func TestSessionsKeepTheirChannels(t *testing.T) {
	m, s := with(t, "")
	m.settings.errors = errorsNumeric
	talk(t, m,
		`AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`,
		`AT+CCHO=a0000005590010 > |+CCHO: 2||OK|`,
		`AT+CGLA=1,10,"8084000002" > |+CGLA: 8,"04049000"||OK|`,
		`AT+CGLA=2,14,"80EC000002ABCD" > |+CGLA: 4,"6102"||OK|`,
		`AT+CGLA=2, 10, "00C0000002" > |+CGLA: 8,"ABCD9000"||OK|`,
		`AT+CGLA=2,10,"8384000001" > |+CGLA: 6,"049000"||OK|`, // whatever channel the host wrote
		`AT+CCHO="A0000000871004" > |+CME ERROR: 22|`,
		`AT+CCHO="A0000005590010" > |+CCHO: 3||OK|`,
		`AT+CCHO="A0000005590010" > |+CME ERROR: 3|`, // no channel is left
		`AT+CCHC=1 > |OK|`,
		`AT+CCHC=1 > |+CME ERROR: 21|`,
		`AT+CGLA=1,10,"8084000002" > |+CME ERROR: 21|`,
		`AT+CCHC=2;+CCHC=3 > |OK|`,
	)
	s.wantSeen(t,
		"0070000001", "01A4040007A0000005590010",
		"0070000001", "02A4040007A0000005590010",
		"8184000002", "82EC000002ABCD", "02C0000002", "8284000001",
		"0070000001", "03A4040007A0000000871004", "00708003",
		"0070000001", "03A4040007A0000005590010",
		"0070000001",
		"00708001", "00708002", "00708003",
	)
	talk(t, m,
		`AT+CCHO > |+CME ERROR: 50|`, `AT+CCHO="" > |+CME ERROR: 50|`, `AT+CCHO="A00000" > |+CME ERROR: 50|`, `AT+CCHO="`+strings.Repeat("A0", 17)+`" > |+CME ERROR: 50|`,
		`AT+CGLA=1,"8084000002" > |+CME ERROR: 50|`, `AT+CGLA=,10,"8084000002" > |+CME ERROR: 50|`, `AT+CCHC > |+CME ERROR: 50|`, `AT+CCHC= > |+CME ERROR: 50|`,
	)
	s.wantSeen(t)
}

func TestSessionWhoseChannelIsGoneCanBeClosed(t *testing.T) {
	m, _ := with(t, "")
	talk(t, m,
		`AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`,
		`AT+CSIM=8,"00708001" > |+CSIM: 4,"9000"||OK|`,
		`AT+CGLA=1,10,"8084000002" > |+CGLA: 4,"6881"||OK|`,
		`AT+CCHC=1 > |OK|`,
		`AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`,
	)
}

func TestRestrictedAccessReadsFiles(t *testing.T) {
	m, s := with(t, "")
	m.settings.errors = errorsNumeric
	talk(t, m,
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CRSM=176,12258,0,0,10 > |+CRSM: 144,0,"98881291090000000071"||OK|`,
		`AT+CRSM=176,12258,0,0,0 > |+CRSM: 144,0,"98881291090000000071"||OK|`,
		`AT+CRSM=176,12258,0,8,2,,"3F00" > |+CRSM: 144,0,"0071"||OK|`,
		`AT+CRSM=192,12258 > |+CRSM: 144,0,"620483022FE2"||OK|`,
		`AT+CRSM=192,12258,0,0,2 > |+CRSM: 144,0,"6204"||OK|`,
		`AT+CRSM=192,16128 > |+CRSM: 144,0,"620483023F00"||OK|`,
		`AT+CRSM=242 > |+CRSM: 144,0,"6200"||OK|`,
		`AT+CRSM=178,28476,1,4,0 > |+CRSM: 106,130||OK|`,
		`AT+CRSM=176,28423,0,0,9,"","7FFF" > |+CRSM: 144,0,"089910100000000010"||OK|`,
		`AT+CRSM=214,12258,0,0,2,"ABCD" > |+CRSM: 105,130||OK|`,
		`AT+CSIM=10,"8084000001" > |+CSIM: 6,"049000"||OK|`, // the host's channel is as it was
		`AT+CRSM > |+CME ERROR: 50|`, `AT+CRSM=176 > |+CME ERROR: 50|`, `AT+CRSM=176,65536 > |+CME ERROR: 50|`, `AT+CRSM=176,12258,256 > |+CME ERROR: 50|`,
		`AT+CRSM=176,12258,0,0,0,"AB" > |+CME ERROR: 50|`, `AT+CRSM=214,12258,0,0,3,"ABCD" > |+CME ERROR: 50|`, `AT+CRSM=214,12258,0,0,0 > |+CME ERROR: 50|`,
		`AT+CRSM=176,12258,0,0,0,,"3F" > |+CME ERROR: 50|`, `AT+CRSM=176,12258,0,0,0,,"XX" > |+CME ERROR: 50|`, `AT+CRSM=136,12258 > |+CME ERROR: 4|`,
		`AT+CRSM=1,2,3,4,5,6,7,8 > |+CME ERROR: 50|`,
	)
	if len(s.channels) != 1 {
		t.Errorf("%d channels are left open", len(s.channels)-1)
	}
}

func TestRestrictedAccessMakesDoWithTheBasicChannel(t *testing.T) {
	m, _ := with(t, "")
	talk(t, m,
		`AT+CSIM=10,"0070000001";+CSIM=10,"0070000001";+CSIM=10,"0070000001" > |+CSIM: 6,"019000"||+CSIM: 6,"029000"||+CSIM: 6,"039000"||OK|`,
		`AT+CCID > |+CCID: 89882119900000000017||OK|`,
		`AT+CRSM=176,12258,0,0,10 > |+CRSM: 144,0,"98881291090000000071"||OK|`,
	)
}

func TestCardThatFailsEndsTheModem(t *testing.T) {
	for _, command := range []string{`AT+CSIM=10,"0070000001"`, `AT+CCHO="A0000005590010"`, "AT+CRSM=242", "AT+CCID", "AT+CIMI"} {
		m, s := with(t, "")
		s.fail = errors.New("the card is gone")
		if out, err := m.Input(t.Context(), []byte(command+"\r")); !errors.Is(err, s.fail) {
			t.Errorf("%s was answered %q, %v", command, out, err)
		}
	}
	m, s := with(t, "")
	talk(t, m, `AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`)
	s.fail = errors.New("the card is gone")
	for _, command := range []string{`AT+CGLA=1,10,"8084000002"`, "AT+CCHC=1"} {
		if out, err := m.Input(t.Context(), []byte(command+"\r")); !errors.Is(err, s.fail) {
			t.Errorf("%s was answered %q, %v", command, out, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m, _ = with(t, "")
	if _, err := m.Input(ended, []byte("AT+CSIM=10,\"0070000001\"\r")); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestHangUpForgetsHalfALine(t *testing.T) {
	m, s := with(t, "")
	talk(t, m, `AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`)
	say(t, m, `AT+CSIM=10,"0070`)
	m.HangUp()
	talk(t, m, "AT > |OK|", `AT+CGLA=1,10,"8084000001" > |+CGLA: 6,"049000"||OK|`)
	if s.resets != 1 {
		t.Errorf("%d resets: hanging up is none", s.resets)
	}
}

// However the bytes are cut into pieces, the answer is the same.
func TestPiecesOfInputDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(rapid.SampledFrom(seeds), 1, 6).Draw(t, "lines"), ""))
		name := rapid.SampledFrom(personalities).Draw(t, "personality").Name
		p, _ := Lookup(name)
		whole, err := New(newSIM(), p).Input(context.Background(), text)
		if err != nil {
			t.Fatal(err)
		}
		m := New(newSIM(), p)
		var pieces []byte
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			out, err := m.Input(context.Background(), rest[:n])
			if err != nil {
				t.Fatal(err)
			}
			pieces, rest = append(pieces, out...), rest[n:]
		}
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("at once: %q\nin pieces: %q", whole, pieces)
		}
	})
}
