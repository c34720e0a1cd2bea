package uicc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// echo is an application that tells what the card does with it and answers INS 01 with
// P1 times 256 plus P2 bytes, other instructions with 6D00.
type echo struct {
	aids  [][]byte
	fci   []byte
	sw    apdu.SW
	calls []string
}

func (e *echo) AIDs() [][]byte { return e.aids }
func (e *echo) Reset()         { e.note("reset") }
func (e *echo) Deselect(ch int) {
	e.note("deselect %d", ch)
}
func (e *echo) Select(ch int) ([]byte, apdu.SW) {
	e.note("select %d", ch)
	return e.fci, e.sw
}
func (e *echo) Process(ch int, c apdu.Command) apdu.Response {
	e.note("%02X%02X on %d", c.CLA, c.INS, ch)
	switch c.INS {
	case 0x01:
		return apdu.Response{Data: count(int(c.P1)<<8 | int(c.P2)), SW: apdu.OK}
	case 0x02:
		return apdu.Response{Data: []byte{1, 2, 3}, SW: apdu.MoreData}
	}
	return apdu.Response{SW: apdu.InstructionNot}
}
func (e *echo) note(format string, args ...any) {
	e.calls = append(e.calls, fmt.Sprintf(format, args...))
}

func (e *echo) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(e.calls, want) {
		t.Errorf("the application saw %q: want %q", e.calls, want)
	}
	e.calls = nil
}

func count(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

var (
	aid1 = []byte{0xA0, 0, 0, 5, 0x59, 0, 0x10}
	aid2 = []byte{0xA0, 0, 0, 1, 0x51, 0, 0, 0}
)

const iccid card.ICCID = "89882119900000000005"

func newTestCard(t testing.TB) (u *UICC, app, other *echo) {
	t.Helper()
	app = &echo{aids: [][]byte{aid1, {0xA0, 0, 0, 2, 0x48, 4, 0}}, sw: apdu.OK}
	other = &echo{aids: [][]byte{aid2}, fci: []byte{0x6F, 0x00}, sw: apdu.OK}
	u, err := New(iccid, "uicc", []Entry{{AID: aid1, Label: "IoT SAFE"}}, app, other)
	if err != nil {
		t.Fatal(err)
	}
	app.calls, other.calls = nil, nil
	return u, app, other
}

// talk sends commands and checks answers: "command > answer", in hexadecimal.
func talk(t *testing.T, u *UICC, lines ...string) {
	t.Helper()
	for _, line := range lines {
		command, want, _ := strings.Cut(strings.ReplaceAll(line, " ", ""), ">")
		b, err := hex.DecodeString(command)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%X", u.Process(b)); got != want {
			t.Errorf("%s was answered %s: want %s", command, got, want)
		}
	}
}

func TestATRsAreRightAndOfferOneProtocolEach(t *testing.T) {
	for name, want := range map[string]struct {
		atr      string
		protocol byte
	}{
		"uicc":    {"3B9F96801FC78031E073FE21135756554943433031A3", 0},
		"uicc-t1": {"3B9F9681B1FE451FC78031E073FE21135756554943433031A8", 1},
	} {
		atr := ATRs[name]
		var check byte
		for _, b := range atr[1:] {
			check ^= b
		}
		if check != 0 {
			t.Errorf("%s: ATR %X: check byte is wrong", name, atr)
		}
		if got := fmt.Sprintf("%X", atr); got != want.atr {
			t.Errorf("%s: ATR %s: want %s", name, got, want.atr)
		}
		if offered := atr[3] & 0x0F; offered != want.protocol {
			t.Errorf("%s: offers T=%d first, want T=%d", name, offered, want.protocol)
		}
	}
}

func TestACallerCannotChangeTheATR(t *testing.T) {
	u, _, _ := newTestCard(t)
	u.ATR()[0] = 0
	if u.ATR()[0] != 0x3B {
		t.Error("a caller changed the card's ATR")
	}
}

func TestFilesThatEveryReaderAsksFor(t *testing.T) {
	u, _, _ := newTestCard(t)
	const iccidFile = "98881291090000000050"
	directory := "61134F07A00000055900105008496F542053414645" + strings.Repeat("FF", 0x26-21)
	talk(t, u,
		"00A40004023F00 > 6128",
		"00C0000028 > 622682027821 83023F00 A503800171 8A0105 8B032F0601 C609900160830101830181 81040000FFFF 9000",
		"00A40004022FE200 > 62178202412183022FE28A01058B032F06018002000A880110 9000",
		"00B000000A > "+iccidFile+"9000",
		"00B0000000 > "+iccidFile+"9000",
		"00B0000803 > 0050 9000",
		"00B0000A00 > 9000",
		"00B0000B00 > 6B00",
		"00B20104 26 > 6981",
		"00A4000C022F00 > 9000",
		"00B2010426 > "+directory+"9000",
		"00B2010400 > "+directory+"9000",
		"00B2020426 > 6A83",
		"00B2000426 > 6A83",
		"00B2010200 > 6A86",
		"00B0000000 > 6981",
		"00A40804022FFF > 6A82",
		"00A4080C023F00 > 9000",
		"00B000000A > 6986",
		"00B2010400 > 6986",
		"00A4080C043F002FE2 > 9000",
		"00B000000A > "+iccidFile+"9000",
		"00B082000A > "+iccidFile+"9000",
		"00B2 01F4 00 > "+directory+"9000",
		"00B09F0000 > 6A82",
		"00B2018C00 > 6A82",
		"80F2000000 > 622682027821 83023F00 A503800171 8A0105 8B032F0601 C609900160830101830181 81040000FFFF 9000",
		"80F2000C00 > 9000",
		"80F2000100 > 6A86",
	)
}

func TestSelectThatFailsChangesNothing(t *testing.T) {
	u, app, _ := newTestCard(t)
	talk(t, u,
		"00A4000C022FE2 > 9000",
		"00A40004027F20 > 6A82",
		"00A4040007A0000000871002 > 6A82",
		"00A4000C0100 > 6700",
		"00A4030C00 > 6A86",
		"00A4000E023F00 > 6A86",
		"00A4000802 3F00 > 6A86",
		"00B000000A > 98881291090000000050 9000",
		"00A4040007A0000005590010 > 9000",
		"00A4040007A0000000871002 > 6A82",
		"00A40004027F20 > 6A82",
		"0001000101 > 00 9000",
	)
	app.wantCalls(t, "select 0", "0001 on 0")
	app.sw = apdu.SW(0x6999)
	talk(t, u,
		"00A4040007A0000005590010 > 6999",
		"00A4000C023F00 > 9000",
	)
}

func TestApplicationIsFoundByNameOrByAPrefixOfItsOwn(t *testing.T) {
	u, app, other := newTestCard(t)
	other.aids = [][]byte{{0xA0, 0, 0, 5, 0x59, 0xFF, 1}}
	talk(t, u,
		"00A4040007A0000005590010 > 9000",
		"00A4040007A0000002480400 > 9000",
		"00A4040006A00000055900 > 9000",
		"00A4040005A000000559 > 6A82", // two applications
		"00A4040005A000000248 > 9000",
		"00A4040004A0000002 > 6A82", // less than a provider
		"00A4040008A000000559001000 > 6A82",
		"00A4040000 > 6A82",
	)
	app.wantCalls(t, "select 0", "select 0", "select 0", "select 0")
	other.wantCalls(t)
}

func TestChannelsAreOpenedAndClosedAsClientsDoIt(t *testing.T) {
	u, app, _ := newTestCard(t)
	talk(t, u,
		"0070000001 > 01 9000",
		"0070000000 > 02 9000",
		"00700000 > 6101",
		"00C0000001 > 03 9000",
		"0070000001 > 6A81", // never a channel above 3 by itself
		"01A4040007A0000005590010 > 9000",
		"00708001 > 9000",
		"00708001 > 6881",
		"0070800200 > 9000",
		"0370800300 > 9000",
		"0070800300 > 6881",
		"0070800000 > 6A86",
		"0070801400 > 6A86",
		"0070900100 > 6A86",
		"0070000001 > 01 9000",
		"01A4040007A0000005590010 > 9000",
		"0170800000 > 9000", // closes itself
		"0101000101 > 6881",
		"0170000001 > 6881",
	)
	app.wantCalls(t, "select 1", "deselect 1", "select 1", "deselect 1")
}

func TestChannelIsClosedOnlyByItselfOrTheBasicChannel(t *testing.T) {
	u, _, _ := newTestCard(t)
	talk(t, u, "0070000001 > 01 9000", "0070000001 > 02 9000", "0170800200 > 6985", "0270800200 > 9000")
}

func TestSelectOpensTheChannelItComesOn(t *testing.T) {
	u, app, _ := newTestCard(t)
	talk(t, u,
		"8101000101 > 6881",
		"01A4000C023F00 > 6881",
		"01A4040007A0000000871002 > 6A82",
		"8101000101 > 6881",
		"01A4040007A0000005590010 > 9000",
		"8101000101 > 00 9000",
		"41A4040007A0000005590010 > 6881", // 5 is not for guests
		"0070000001 > 02 9000",
	)
	app.wantCalls(t, "select 1", "8101 on 1")
}

func TestHighChannelsAreOpenedByNumber(t *testing.T) {
	u, app, _ := newTestCard(t)
	talk(t, u,
		"0070001300 > 9000",
		"0070001300 > 6881",
		"0070001400 > 6A86",
		"4FA4040007A0000005590010 > 9000",
		"CF01000101 > 00 9000",
		"CF010001 > 6101",
		"4FC0000001 > 00 9000",
		"4F70801300 > 9000",
		"CF01000101 > 6881",
	)
	app.wantCalls(t, "select 19", "CF01 on 19", "CF01 on 19", "deselect 19")
}

func TestApplicationHearsWhenItIsLeft(t *testing.T) {
	u, app, other := newTestCard(t)
	talk(t, u,
		"00A4040007A0000005590010 > 9000",
		"00A4040008A000000151000000 > 6102",
		"00A4040408A00000015100000000 > 6F00 9000",
		"00A4040C08A000000151000000 > 9000",
		"00A4000C023F00 > 9000",
		"8001000101 > 6D00",
	)
	app.wantCalls(t, "select 0", "deselect 0")
	other.wantCalls(t, "select 0", "select 0", "select 0", "deselect 0")
	u.Reset()
	app.wantCalls(t, "reset")
}

func TestDataWithoutLeWaitsForGetResponseOnItsChannel(t *testing.T) {
	u, _, _ := newTestCard(t)
	talk(t, u,
		"00A4040007A0000005590010 > 9000",
		"01A4040007A0000005590010 > 9000",
		"80010004 > 6104",
		"81010002 > 6102",
		"80C0000004 > 00010203 9000",
		"01C0000000 > 0001 9000",
		"01C0000000 > 6985", // once
		"80010004 > 6104",
		"00C0000003 > 000102 6101",
		"84C0000001 > 03 9000",
		"80010004 > 6104",
		"80030000 > 6D00",
		"00C0000004 > 6985", // another command came between
		"8002000000 > 010203 6300",
		"80020000 > 6103",
		"00C0000003 > 010203 6300", // the status word is not lost
		"80010004 > 6104",
		"00C0010004 > 6A86",
		"00C000000100 > 6700",
		"00C00000 > 00010203 9000",
		"02C0000004 > 6881",
	)
}

func TestDataWithLeLeavesAtOnce(t *testing.T) {
	u, _, _ := newTestCard(t)
	all := fmt.Sprintf("%X", count(256))
	talk(t, u,
		"00A4040007A0000005590010 > 9000",
		"8001000402 > 0001 9000",
		"8001000408 > 00010203 9000",
		"8001010000 > "+all+"9000",
		"8001010400 > "+all+"6104", // more than one answer holds
		"00C0000004 > 00010203 9000",
		"80010104 > 6100",
		"00C0000000 > "+all+"6104",
	)
}

func TestClassesThatNobodySpeaksAreRefused(t *testing.T) {
	u, app, _ := newTestCard(t)
	talk(t, u,
		"A0A40000023F00 > 6E00",
		"10A40000023F00 > 6E00",
		"FFA40000023F00 > 6E00",
		"80B0000000 > 6E00",
		"00F2000000 > 6E00",
		"04B0000000 > 6882",
		"04A4000C023F00 > 6882",
		"0470000001 > 6882",
		"00A4040000 > 6A82",
		"00A404 > 6700",
		"00A40400000001A0 > 6700", // extended length
		"00A4040007A0 > 6700",
		" > 6700",
	)
	app.wantCalls(t)
}

func FuzzProcess(f *testing.F) {
	for _, s := range []string{"00A4040007A0000005590010", "0070000001", "00C0000000", "8001FFFF", "00B2010426", "00A40004022FE200"} {
		f.Add(unhex(s))
	}
	u, _, _ := newTestCard(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		u.Process(unhex("00A4040007A0000005590010"))
		r := u.Process(b)
		if len(r) < 2 || len(r) > 258 {
			t.Errorf("%X was answered with %d bytes", b, len(r))
		}
		if bytes.Equal(r, []byte{0, 0}) {
			t.Errorf("%X was answered with no status word", b)
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	u, _, _ := newTestCard(b)
	u.Process(unhex("00A4040007A0000005590010"))
	command := unhex("8001004000")
	b.ReportAllocs()
	for b.Loop() {
		u.Process(command)
	}
}
