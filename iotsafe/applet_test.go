package iotsafe

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
)

const (
	openOne  = "0070000001 > 01 9000"
	closeOne = "00708001 > 9000"

	select0559 = "01A4040007A0000005590010"
	select0248 = "01A4040007A0000002480400"
	select3053 = "01A404000FA00000003053F12401770101495341"
)

func TestSelectTriesTheAIDsInOrder(t *testing.T) {
	s := &script{t, []string{openOne, select0559 + "> 6A82", select0248 + "> 9000", closeOne}}
	a, err := Select(t.Context(), s)
	if err != nil || !bytes.Equal(a.AID(), AIDs[1]) {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal("second close:", err)
	}
	s.done()
	if _, err := a.Random(t.Context(), 8); !errors.Is(err, ErrClosed) {
		t.Fatal("after close:", err)
	}
}

func TestACardWithoutTheAppletGetsNoFurtherCommand(t *testing.T) {
	s := &script{t, []string{openOne, select0559 + "> 6A82", select0248 + "> 6A82", select3053 + "> 6A82", closeOne}}
	_, err := Select(t.Context(), s)
	if !errors.Is(err, ErrNoApplet) || !errors.Is(err, apdu.NotFound) {
		t.Fatal(err)
	}
	s.done()
}

func TestAnyOtherRefusalOfSelectEndsTheSearch(t *testing.T) {
	s := &script{t, []string{openOne, select0559 + "> 6999", closeOne}}
	_, err := Select(t.Context(), s)
	if errors.Is(err, ErrNoApplet) || !errors.Is(err, apdu.SW(0x6999)) {
		t.Fatal(err)
	}
	s.done()
}

func TestAnAIDOfOnesOwn(t *testing.T) {
	s := &script{t, []string{openOne, "01A4040005F000000001 > 9000"}}
	if _, err := Select(t.Context(), s, WithAID([]byte{0xF0, 0, 0, 0, 1})); err != nil {
		t.Fatal(err)
	}
	if _, err := Select(t.Context(), s, WithAID()); err == nil {
		t.Fatal("no AID at all was accepted")
	}
}

func TestACardWithoutManageChannelIsSelectedOnChannelOne(t *testing.T) {
	s := &script{t, []string{"0070000001 > 6D00", select0559 + "> 9000"}}
	a, err := Select(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil { // not ours to close
		t.Fatal(err)
	}
	s.done()
}

func TestAChannelInUseIsNotTakenAway(t *testing.T) {
	s := &script{t, []string{"0070000001 > 6A81"}}
	if _, err := Select(t.Context(), s); !errors.Is(err, apdu.FunctionNotSupported) {
		t.Fatal(err)
	}
	s.done()
}

func TestAChannelThatTheCallerOpened(t *testing.T) {
	s := &script{t, []string{"44A4040007A0000005590010 > 9000", "C4 84 0000 02 > 0102 9000"}}
	a, err := Select(t.Context(), s, OnChannel(8))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := a.Random(t.Context(), 2); err != nil || len(b) != 2 {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.done()
	if _, err := Select(t.Context(), s, OnChannel(20)); err == nil {
		t.Fatal("channel 20 was accepted")
	}
}

func TestTheChannelIsClosedEvenIfTheCallerHasGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &script{t, []string{openOne, select0559 + "> 9000", closeOne}}
	a, err := Select(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := a.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s.done()
}

func TestTheFirstCommandFindsTheClass(t *testing.T) {
	for name, steps := range map[string][]string{
		"8n":                {"8184000002 > 0102 9000", "8184000002 > 0304 9000"},
		"0n after 6E00":     {"8184000002 > 6E00", "0184000002 > 0102 9000", "0184000002 > 0304 9000"},
		"0n after 6D00":     {"8184000002 > 6D00", "0184000002 > 0102 9000", "0184000002 > 0304 9000"},
		"0n with a refusal": {"8184000002 > 6E00", "0184000002 > 6985", "0184000002 > 0304 9000"},
		"neither knows it":  {"8184000002 > 6D00", "0184000002 > 6D00", "8184000002 > 0304 9000"},
		"only at first":     {"8184000002 > 0102 9000", "8184000002 > 6D00"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := selected(t, steps...)
			a.Random(t.Context(), 2)
			a.Random(t.Context(), 2)
		})
	}
}

func TestLeIsLeftOutForCardsThatRefuseIt(t *testing.T) {
	point := "0000"
	a, s := settled(t,
		"81B0 0000 03 830102 00 > 6700",
		"81B0 0000 03 830102 > 6102", "01C0 0000 02 > "+point+" 9000",
		"81B0 0002 03 830102 > 9000",
	)
	if b, err := a.ReadFile(t.Context(), "\x02", 0); err != nil || len(b) != 2 {
		t.Fatal(err)
	}
	s.steps = []string{"81B0 0000 03 830102 > 6700"} // a true refusal
	if _, err := a.ReadFile(t.Context(), "\x02", 0); !errors.Is(err, apdu.WrongLength) {
		t.Fatal(err)
	}
}

func TestCommandsWithoutLeForThoseWhoAsk(t *testing.T) {
	s := &script{t, []string{openOne, select0559 + "> 9000", "81CD 0000 03 850103 > 9000"}}
	a, err := Select(t.Context(), s, WithoutLe())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.PublicKey(t.Context(), "\x03"); err == nil {
		t.Fatal("a public key out of nothing")
	}
	s.done()
}

func TestAWaitingCallerMayGiveUp(t *testing.T) {
	a, _ := settled(t)
	if err := a.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Random(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	a.release()
}

func TestErrorsNameTheMissingStep(t *testing.T) {
	for want, err := range map[string]error{
		"provision the SIM":    Error{Op: opSign, Kind: PrivateKey, ID: "\x01"}.refused(apdu.ConditionsNot),
		"sign with private":    Error{Op: opSign, Kind: PrivateKey, ID: "\x01"}.refused(apdu.ConditionsNot),
		"no such container":    Error{Op: opRead, Kind: File, ID: "\x02"}.refused(apdu.NotFound),
		"read file 02":         Error{Op: opRead, Kind: File, ID: "\x02"}.refused(apdu.NotFound),
		"key generation":       Error{Op: opGenerate, Kind: PrivateKey, ID: "\x02"}.refused(apdu.ConditionsNot),
		"select the applet":    Error{Op: opRandom}.refused(apdu.ChannelNotSupported),
		"does not offer":       Error{Op: opSign, Kind: PrivateKey, ID: "\x02"}.refused(apdu.InstructionNot),
		"try again":            Error{Op: opRead, Kind: File, ID: "\x02"}.refused(apdu.DataInvalidated),
		"its description":      Error{Op: opRead, Kind: File, ID: "\x02"}.refused(apdu.RemoteAdminTouched),
		"select it again":      Error{Op: opList}.refused(apdu.ConditionsNot),
		"being personalised":   Error{Op: opDescribe, Kind: PrivateKey, ID: "\x01"}.refused(apdu.ConditionsNot),
		"get random bytes: ca": Error{Op: opRandom}.refused(apdu.MemoryFailure),
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
		var typed *Error
		if !errors.As(err, &typed) || !errors.Is(err, typed.SW) {
			t.Errorf("%q does not unwrap", err)
		}
	}
}
