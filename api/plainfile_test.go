package api

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

const (
	plainHead = "iccid,key_version,domain,enc,mac,dek,attr.tenant\n"
	plainLine = "89882119900000000017,30,A000000151000000,00112233445566778899aabbccddeeff,101112131415161718191a1b1c1d1e1f,202122232425262728292a2b2c2d2e2f,north\n"
	plainJSON = `{"iccid":"89882119900000000017","key_version":"30","domain":"A000000151000000","enc":"00112233445566778899aabbccddeeff","mac":"101112131415161718191a1b1c1d1e1f","dek":"202122232425262728292a2b2c2d2e2f","attr.tenant":"north"}`
)

func readPlain(p *PlainReader) (all []PlainSIM, err error) {
	for {
		sim, err := p.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, sim)
	}
}

func TestKeysInClearAreReadFromCSVAndJSONAlike(t *testing.T) {
	fromCSV, err := NewPlainCSV(strings.NewReader(plainHead + plainLine))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*PlainReader{
		"CSV": fromCSV, "an array": NewPlainJSON(strings.NewReader("[" + plainJSON + "]\n")), "objects": NewPlainJSON(strings.NewReader(plainJSON + "\n")),
	} {
		sims, err := readPlain(p)
		if err != nil || len(sims) != 1 {
			t.Fatalf("%s: %v, %v", name, sims, err)
		}
		s := sims[0]
		if s.ICCID != "89882119900000000017" || s.KeyVersion != 0x30 || s.ENC[15] != 0xFF || s.MAC[0] != 0x10 || s.DEK[0] != 0x20 || s.Attributes["tenant"] != "north" {
			t.Errorf("%s: got %v", name, s)
		}
	}
}

func TestABadLineInClearIsNamedWithoutItsKeys(t *testing.T) {
	for name, text := range map[string]string{
		"short key":     strings.Replace(plainLine, "ddeeff,1011", "dd,1011", 1),
		"no hex":        strings.Replace(plainLine, "ddeeff,1011", "ddeefx,1011", 1),
		"bad version":   strings.Replace(plainLine, ",30,", ",99,", 1),
		"bad ICCID":     strings.Replace(plainLine, "8988", "89x8", 1),
		"few columns":   "1,2\n",
		"over lines":    strings.Replace(plainLine, "north", "\"no\nrth\"", 1),
		"bad attribute": strings.Replace(plainLine, "north", strings.Repeat("x", 65), 1),
	} {
		p, err := NewPlainCSV(strings.NewReader(plainHead + plainLine + text))
		if err != nil {
			t.Fatal(err)
		}
		sims, err := readPlain(p)
		if len(sims) != 1 || err == nil || !strings.Contains(err.Error(), "3") || strings.Contains(err.Error(), "0011223344") {
			t.Errorf("%s: %d SIMs, %v", name, len(sims), err)
		}
	}
	for _, head := range []string{"", "iccid,iccid\n", "iccid,pin\n", "attr.A\n"} {
		if _, err := NewPlainCSV(strings.NewReader(head)); err == nil {
			t.Errorf("the columns %q are taken", head)
		}
	}
	for _, text := range []string{"[" + plainJSON, plainJSON + "x", "[" + plainJSON + "] 1", `{"iccid":1}`, `{"pin":"1"}`} {
		if _, err := readPlain(NewPlainJSON(strings.NewReader(text))); err == nil {
			t.Errorf("%.20q… is taken", text)
		}
	}
}

func FuzzPlainFile(f *testing.F) {
	f.Add([]byte(plainHead + plainLine))
	f.Add([]byte("[" + plainJSON + "]"))
	_, public, err := GenerateSealKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		readers := []*PlainReader{NewPlainJSON(bytes.NewReader(text))}
		if p, err := NewPlainCSV(bytes.NewReader(text)); err == nil {
			readers = append(readers, p)
		}
		for _, p := range readers {
			sims, _ := readPlain(p)
			for _, s := range sims {
				if _, err := s.Seal(public); err != nil {
					t.Errorf("what is read cannot be sealed: %v", err)
				}
			}
		}
	})
}
