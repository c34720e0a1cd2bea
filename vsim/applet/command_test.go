package applet_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/applet"
)

const (
	initOne   = "812A0001 0D 840101 A10103 91020001 920104"
	updateOne = "812B8001 22 9E20" + digestHex + "00"
)

func TestSessionsFollowTheRulesThatAllClientsNeed(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	s.expect(updateOne, "6985") // nothing opened
	s.expect("812A0101", "9000")
	s.expect(initOne, "9000")
	s.expect("812B8002 22 9E20"+digestHex+"00", "6985") // another number
	if got := s.say(updateOne); !strings.HasPrefix(got, "330040") {
		t.Fatal(got)
	}
	s.expect(updateOne, "6985") // it has ended
	s.expect(initOne, "9000")
	s.expect("812B8001 04 9E02ABCD", "6A80")
	s.expect(updateOne, "6985") // a failure ends it too
	s.expect(initOne, "9000")
	s.expect("812A0101", "9000")
	s.expect(updateOne, "6985") // closed
	s.expect(initOne, "9000")
	s.expect("01A4040007A0000005590010", "9000")
	s.expect(updateOne, "6985") // SELECT ends it
	s.expect(initOne, "9000")
	s.expect("02A4040007A0000005590010", "9000")
	s.expect("822B8001 22 9E20"+digestHex+"00", "6985") // sessions belong to their channel
	s.expect("0070800200", "9000")
	if got := s.say(updateOne); !strings.HasPrefix(got, "330040") {
		t.Fatal("closing another channel ended the session:", got)
	}
}

func TestSessionsRunOut(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	for i := range applet.MaxSessions {
		s.expect(strings.Replace(initOne, "812A0001", fmt.Sprintf("812A00%02X", i), 1), "9000")
	}
	s.expect("812A0020"+initOne[8:], "6989")
	s.expect("812A0100", "9000")
	s.expect("812A0020"+initOne[8:], "9000")
}

func TestWhatInitRefuses(t *testing.T) {
	s := newSIM(t, 1, privateKey("\x01", "a"), publicKey("\x01", "a"), privateKey("\x02", "b"), func() iotsafe.Object {
		o := privateKey("\x03", "c")
		o.Functions = iotsafe.KeyGeneration
		return o
	}(), publicKey("\x03", "c"))
	s.personalize(append(keyPair("\x01", "\x01"), keyPair("\x03", "\x03")...)...)
	s.uicc.Reset()
	s.open()
	for data, want := range map[string]string{
		"840101 A10103 91020001 920104":        "9000",
		"920104 91020001 A10103 740161":        "9000", // by label, in any order
		"840101 A10103 920104":                 "9000", // mode 03 needs no hash
		"840109 A10103 91020001 920104":        "6A82",
		"74017A A10103 91020001 920104":        "6A82",
		"840102 A10103 91020001 920104":        "6985", // empty
		"840103 A10103 91020001 920104":        "6985", // not for signing
		"840101 A10101 91020004 920104":        "6985", // SHA-512 is not for this key
		"840101 A10101 920104":                 "6A80", // full text needs a hash
		"840101 A10102 91020001 920104":        "9000", // last block
		"840101 A10104 91020001 920104":        "6A80", // no such mode
		"840101 A10101 91020003 920104":        "6A80", // two hashes
		"840101 A10103 91020001 920108":        "6A80", // CMAC
		"840101 A10103 910101 920104":          "6A80", // a hash of one byte
		"840101 A10103 91020001 920101":        "6985", // RSA
		"840101 A10103 91020001":               "6A80",
		"840101 740161 A10103 91020001 920104": "6A80", // identifier and label
		"840101 A10103 A10103 920104":          "6A80",
		"A10103 91020001 920104":               "6A80",
		"8400 A10103 91020001 920104":          "6A80",
		"840101 A1":                            "6A80",
		"850101 A10103 91020001 920104":        "6A80",
	} {
		b := unhex(t, data)
		s.expect(fmt.Sprintf("812A0001%02X%s", len(b), data), want)
	}
	s.expect("812A0201"+initOne[8:], "6A86")
}

func TestLongerDigestsCountWithTheirFirstHalf(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	s.expect(initOne, "9000")
	long := digestHex + strings.Repeat("77", 32)
	verify(t, point(t, s, "\x01"), unhex(t, digestHex), "330040", s.say("812B8001 42 9E40"+long+"00"))
}

func TestTheListComesInPartsInTheOrderThatAllReadersNeed(t *testing.T) {
	var objects []iotsafe.Object
	label := strings.Repeat("x", 50)
	for i := range 3 {
		id := iotsafe.ID([]byte{byte(i + 1)})
		objects = append(objects, file(id, label, 10), secret(id), publicKey(id, label), privateKey(id, label))
	}
	s := newSIM(t, 1, objects...)
	s.open()
	s.expect("01CB010100", "6985") // nothing to go on with
	var kinds string
	command := "01CB010000"
	for part := 0; ; part++ {
		got := s.say(command)
		b := unhex(t, got[:len(got)-4])
		if len(b) == 0 || len(b) > 254 {
			t.Fatalf("part %d has %d bytes", part, len(b))
		}
		for len(b) > 0 { // whole objects only
			kinds += fmt.Sprintf("%X ", b[0])
			b = b[2+int(b[1]):]
		}
		if strings.HasSuffix(got, "9000") {
			break
		}
		if !strings.HasSuffix(got, "6300") {
			t.Fatal(got)
		}
		command = "01CB010100"
	}
	if kinds != "C1 C1 C1 C2 C2 C2 C4 C4 C4 C3 C3 C3 " {
		t.Fatal(kinds)
	}
	s.expect("01CB010100", "6985")
	s.expect("01CB010200", "6A86")
	s.expect("01CB050000", "6A86")
}

func TestOneObject(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	for command, want := range map[string]string{
		"01CBC1000384010900":     "6A82",
		"01CBC10003750100 00":    "6A80",
		"01CBC10000":             "6A80",
		"01CBC1010384010100":     "6A86",
		"01CBC4000386010900":     "C412 860109 600100 4A0100 4B01A0 610108 940101 9000",
		"01CBC30005730341424300": "6A82",
	} {
		s.expect(command, want)
	}
}

func TestFilesThatMayNotBeRead(t *testing.T) {
	hidden := file("\x03", "hidden", 10)
	hidden.Access = 0
	s := newSIM(t, 1, file("\x02", "inactive", 10), hidden)
	s.personalize(append(content("\x03", []byte("abc")), perso.WriteFile("\x02", []byte("abc"))...)...)
	s.uicc.Reset()
	s.open()
	s.expect("01B000000383010200", "6985")
	s.expect("01B000000383010300", "6985")
	s.expect("01B000000383010400", "6A82")
	s.expect("01CD00000385010400", "6A82")
}

func TestGenerateNeedsBothHalvesToAllowIt(t *testing.T) {
	fixed := publicKey("\x02", "fixed")
	fixed.Functions = iotsafe.Signing
	unreadable := publicKey("\x03", "unreadable")
	unreadable.Access = 0
	s := newSIM(t, 1, privateKey("\x01", "alone"), publicKey("\x01", "other"),
		privateKey("\x02", "fixed"), fixed, privateKey("\x03", "unreadable"), unreadable,
		privateKey("\x04", "good"), publicKey("\x05", "good"), privateKey("\x06", ""), publicKey("\x06", ""))
	s.open()
	for _, id := range []string{"01", "02", "03"} {
		s.expect("01B900000384"+"01"+id+"00", "6985")
	}
	s.expect("01B900000384010900", "6A82")
	for _, id := range []string{"04", "06"} {
		if got := s.say("01B90000038401" + id + "00"); !strings.HasSuffix(got, "9000") {
			t.Fatal(got)
		}
	}
	s.expect(strings.Replace(initOne, "840101", "840104", 1), "9000")
	s.expect("01B900000384010400", "6985") // in use in a session
	s.expect("812A0101", "9000")

	commits, before := s.commits, encode(t, s.applet.State())
	s.broken = true
	s.expect("01B900000384010400", "6581")
	if s.commits != commits || string(before) != string(encode(t, s.applet.State())) {
		t.Fatal("a pair that could not be stored took the place of the old one")
	}
}

func TestVolatileKeysAreNeverWrittenAndEndWithPower(t *testing.T) {
	s := fieldSIM(t)
	s.open()
	commits := s.commits
	if got := s.say("01B900000384010400"); !strings.HasSuffix(got, "9000") {
		t.Fatal(got)
	}
	s.expect(strings.Replace(initOne, "840101", "840104", 1), "9000")
	s.expect("812A0101", "9000")
	if s.commits != commits {
		t.Fatal("written")
	}
	s.uicc.Reset()
	s.open()
	s.expect(strings.Replace(initOne, "840101", "840104", 1), "6985")
}

func TestNothingThatADeviceDoesWritesExceptGenerate(t *testing.T) {
	s := fieldSIM(t)
	c := s.client()
	commits := s.commits
	if _, err := c.Sign(t.Context(), "\x01", make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ReadFile(t.Context(), "\x02", 0); err != nil {
		t.Fatal(err)
	}
	if s.commits != commits {
		t.Fatalf("%d writes", s.commits-commits)
	}
	if _, err := c.GenerateKeyPair(t.Context(), "006"); err != nil {
		t.Fatal(err)
	}
	if s.commits != commits+1 {
		t.Fatalf("%d writes", s.commits-commits)
	}
	s.powerCycle()
	if key, err := s.client().PublicKey(t.Context(), "007"); err != nil || !key.Equal(point(t, s, "007")) {
		t.Fatal("the new pair did not survive:", err)
	}
}

func TestATypeIIAppletKnowsNoAsymmetricKeys(t *testing.T) {
	s := newSIM(t, 2, secret("\x01"), file("\x02", "f", 100))
	s.open()
	for _, command := range []string{initOne, updateOne, "01B900000384010100", "01CD00000385010100"} {
		s.expect(command, "6D00")
	}
	c := s.client()
	i, err := c.Info(t.Context())
	if err != nil || !i.TypeII() || i.Signatures != 0 {
		t.Fatalf("%+v, %v", i, err)
	}
	if _, err := c.Sign(t.Context(), "\x01", make([]byte, 32)); !errors.Is(err, apdu.InstructionNot) {
		t.Fatal(err)
	}
	if sw := s.refused(perso.Create{Object: privateKey("\x01", "")}); sw != apdu.FunctionNotSupported {
		t.Fatal(sw)
	}
	if _, err := applet.NewState(2, privateKey("\x01", "")); err == nil {
		t.Fatal("a Type II applet with a private key was made")
	}
}

func TestStatesThatCannotBeAreNotMade(t *testing.T) {
	for name, f := range map[string]func() (applet.State, error){
		"type 3":   func() (applet.State, error) { return applet.NewState(3) },
		"twice":    func() (applet.State, error) { return applet.NewState(1, secret("\x01"), secret("\x01")) },
		"too full": func() (applet.State, error) { return applet.NewState(1, file("\x01", "", applet.MaxBytes+1)) },
		"no ID":    func() (applet.State, error) { return applet.NewState(1, secret("")) },
		"a key of no known type": func() (applet.State, error) {
			o := privateKey("\x01", "")
			o.KeyType = 0x43
			return applet.NewState(1, o)
		},
	} {
		if s, err := f(); err == nil {
			t.Errorf("%s: %v", name, s)
		}
	}
}

func TestADescriptionOfTheStoreHidesContents(t *testing.T) {
	s := fieldSIM(t)
	psk := []byte("correct horse battery staple")
	s.personalize(putSecret("\x09", psk))
	state := s.applet.State()
	for _, text := range []string{state.String(), fmt.Sprintf("%+v", state), fmt.Sprintf("%#v", state), fmt.Sprintf("%v", state.Objects), fmt.Sprintf("%#v", state.Objects)} {
		for _, c := range state.Objects {
			if len(c.Content) == 0 {
				continue
			}
			for _, form := range []string{string(c.Content), fmt.Sprintf("%X", c.Content), fmt.Sprintf("%v", c.Content)} {
				if strings.Contains(text, form) {
					t.Fatalf("the content of %s is in %s", c, text)
				}
			}
		}
		if !strings.Contains(text, "filled but inactive") {
			t.Fatal(text)
		}
	}
	for _, e := range state.Entries() {
		if e.Object.Kind == iotsafe.File && (e.Capacity != 2048 || e.Object.Size != 600 || !e.Filled) {
			t.Fatalf("%+v", e)
		}
	}
}
