package modem

import (
	"strings"
	"testing"
)

// transcripts say what each personality does, in the words of its wire.
var transcripts = map[string][]string{
	"default": {
		`AT+CSIM=10,"0070000001" > |+CSIM: 6,"019000"||OK|`,
		`AT+CSIM=10,"FFFFFFFFFF" > |+CSIM: 4,"6881"||OK|`,
		`AT+CCHC=7 > |ERROR|`,
	},
	"echo": {
		"AT > AT\r|OK|",
		"AT+CCHC=7 > AT+CCHC=7\r|+CME ERROR: 21|",
	},
	"bare-handle": {
		`AT+CCHO="A0000005590010" > |1||OK|`,
		`AT+CGLA=1,10,"8084000001" > |+CGLA: 6,"049000"||OK|`,
		`AT+CCHC=1 > |OK|`,
	},
	"offset-handle": {
		`AT+CCHO="A0000005590010" > |+CCHO: 7||OK|`,
		`AT+CGLA=1,10,"8084000001" > |+CME ERROR: 21|`,
		`AT+CGLA=7,10,"8084000001" > |+CGLA: 6,"049000"||OK|`,
		`AT+CCHC=7 > |+CCHC: 7||OK|`,
	},
	"hex-handle": {
		"AT+CGLA=? > |ERROR|",
		`AT+CCHO="A0000005590010" > |+CCHO: 000000000385a7cf||OK|`,
		`AT+CGLA=000000000385a7cf,10,"8084000001" > |+CGLA: 6,"049000"||OK|`,
		`AT+CGLA=385A7CF,10,"8084000001" > |+CGLA: 6,"049000"||OK|`,
		`AT+CCHC=385a7cf > |OK|`,
	},
	"no-sessions": {
		"AT+CCHO=? > |ERROR|",
		`AT+CCHO="A0000005590010" > |ERROR|`,
		`AT+CGLA=1,10,"8084000001" > |ERROR|`,
		"AT+CCHC=1 > |ERROR|",
		`AT+CSIM=10,"0070000001" > |+CSIM: 6,"019000"||OK|`,
	},
	"no-csim": {
		"AT+CSIM=? > |ERROR|",
		`AT+CSIM=10,"0070000001" > |ERROR|`,
		`AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`,
	},
	"no-test-forms": {
		"AT+CCHO=? > |ERROR|", "AT+CGLA=? > |ERROR|", "AT+CCHC=? > |ERROR|", "AT+CSIM=? > |OK|",
		`AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`,
	},
	"csim-basic-channel": {
		`AT+CSIM=10,"0070000001" > |+CSIM: 6,"019000"||OK|`,
		`AT+CSIM=24,"01A4040007A0000005590010" > |ERROR|`,
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CCHO="A0000005590010" > |+CCHO: 2||OK|`,
		`AT+CGLA=2,10,"8084000001" > |+CGLA: 6,"049000"||OK|`,
	},
	"loses-select": {
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CME ERROR: 0|`,
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CCHO="A0000005590010" > |+CCHO: 1||OK|`,
		`AT+CCHO="A0000005590010" > |+CME ERROR: 0|`,
		`AT+CSIM=14,"00A40004023F00" > |+CSIM: 4,"6106"||OK|`, // not by AID
		`AT+CSIM=10,"0070000001" > |+CSIM: 6,"029000"||OK|`,   // the lost one left no channel open
	},
	"no-profile": {
		"AT > |OK|", "AT+CSIM=? > |OK|",
		`AT+CSIM=10,"0070000001" > |+CME ERROR: 13|`,
		`AT+CCHO="A0000005590010" > |+CME ERROR: 13|`,
		"AT+CPIN? > |+CME ERROR: 13|", "AT+CCID > |+CME ERROR: 13|", "AT+CIMI > |+CME ERROR: 13|", "AT+CRSM=242 > |+CME ERROR: 13|",
		"AT+CMEE=2;+CPIN? > |+CME ERROR: SIM failure|",
	},
	"busy": {
		"AT+CPIN? > |+CME ERROR: 14|", "AT > |OK|",
		`AT+CSIM=10,"0070000001" > |+CME ERROR: 14|`,
		`AT+CCHO="A0000005590010" > |+CME ERROR: 14|`,
		"AT+CCID > |+CME ERROR: 14|", "AT+CRSM=242 > |+CME ERROR: 14|",
		`AT+CSIM=10,"0070000001" > |+CSIM: 6,"019000"||OK|`,
		"AT+CFUN=1,1 > |OK|", "AT+CPIN? > |+CME ERROR: 14|",
	},
	"unsolicited": {
		"AT > |OK|",
		`AT+CSIM=10,"0070000001" > |+CREG: 5||+CSIM: 6,"019000"||+CTZV: 4||OK|`,
		`AT+CCHO="A0000005590010" > |+CIEV: 2,3||+CCHO: 2||RING||OK|`,
		`AT+CGLA=2,10,"8084000001" > |+CUSD: 0,"9000",15||+CGLA: 6,"049000"||+CREG: 5||OK|`,
	},
	"no-quotes": {
		`AT+CSIM=10,"0070000001" > |+CSIM: 6,019000||OK|`,
		`AT+CRSM=176,12258,0,0,2 > |+CRSM: 144,0,9888||OK|`,
	},
	"cuts-answers": {
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CSIM=10,"8084000032" > |+CSIM: 104,"` + strings.Repeat("04", 50) + `9000"||OK|`,
		`AT+CSIM=10,"8084000033" > |+CSIM: 106,"` + strings.Repeat("04", 51) + `90"||OK|`,
		`AT+CSIM=10,"8084000000" > |+CSIM: 516,"` + strings.Repeat("04", 52) + `"||OK|`,
	},
	"cuts-answers-unseen": {
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CSIM=10,"8084000000" > |+CSIM: 104,"` + strings.Repeat("04", 52) + `"||OK|`,
	},
	"gets-response": {
		`AT+CSIM=14,"00A40004023F00" > |+CSIM: 16,"620483023F009000"||OK|`,
		`AT+CSIM=10,"00C0000006" > |+CSIM: 4,"9000"||OK|`, // nothing waits any more
	},
	"drops-le": {
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CSIM=16,"80EC000002ABCD00" > |+CSIM: 4,"6102"||OK|`,
		`AT+CSIM=10,"00C0000002" > |+CSIM: 8,"ABCD9000"||OK|`,
		`AT+CSIM=10,"8084000001" > |+CSIM: 6,"049000"||OK|`, // without data Le stays
	},
	"terse": {
		`AT+CCHO=? > |ERROR|`,
		`AT+CSIM=10,"0070000001" > |ERROR|`,
		`AT+CSIM=24,"00A4040007A0000005590010" > |+CSIM: 4,"9000"||OK|`,
		`AT+CSIM=10,"802A000100" > |OK|`,
		`AT+CSIM=16,"80EC000002ABCD00" > |ERROR|`,
		`AT+CSIM=14,"80EC000002ABCD" > |+CSIM: 4,"6102"||OK|`,
		`AT+CSIM=10,"80FF000000" > |ERROR|`,
	},
	"9600":   {"AT > AT\r|OK|"}, // its speed: TestLineTakesItsTime
	"115200": {"AT > AT\r|OK|"},
}

func TestEveryPersonalityDoesWhatItSays(t *testing.T) {
	for _, p := range Personalities() {
		t.Run(p.Name, func(t *testing.T) {
			lines := transcripts[p.Name]
			if len(lines) == 0 {
				t.Fatal("nothing is known of it")
			}
			m, _ := with(t, p.Name)
			talk(t, m, lines...)
		})
	}
	if len(transcripts) != len(personalities) {
		t.Errorf("%d transcripts for %d personalities", len(transcripts), len(personalities))
	}
}

func TestEveryPersonalityHasANameOfItsOwnAndASource(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Personalities() {
		if p.Text == "" || p.Source == "" {
			t.Errorf("%s: text %q, source %q", p.Name, p.Text, p.Source)
		}
		if seen[p.Name] || strings.ContainsAny(p.Name, " ,_") || p.Name != strings.ToLower(p.Name) {
			t.Errorf("personality %q", p.Name)
		}
		seen[p.Name] = true
		for _, name := range append(p.Lacks, p.LacksTest...) {
			if _, known := commands[name]; !known {
				t.Errorf("%s lacks %s, which no modem here has", p.Name, name)
			}
		}
		if got, err := Lookup(p.Name); err != nil || got.Name != p.Name {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

func TestUnknownPersonalityIsAnErrorThatListsTheKnown(t *testing.T) {
	_, err := Lookup("moody")
	if err == nil || !strings.Contains(err.Error(), `"moody"`) || !strings.Contains(err.Error(), "default, echo, bare-handle") {
		t.Errorf("error: %v", err)
	}
	if p, err := Lookup(""); err != nil || p.Name != "default" {
		t.Errorf("no name is %q, %v", p.Name, err)
	}
}
