package domain_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/domain"
	"github.com/simroot/simroot/vsim/uicc"
	"pgregory.net/rapid"
)

// notebook is an application whose store is a string: each block appends to a copy, the
// last one keeps it. The block "!" is refused, "?" is answered with what is stored.
type notebook struct {
	stored, draft string
	running       bool
	decrypt       func([]byte) ([]byte, error)
}

var notebookAID = []byte{0xA0, 0, 0, 5, 0x59, 0, 0x10}

func (n *notebook) AIDs() [][]byte                              { return [][]byte{notebookAID} }
func (n *notebook) Select(int) ([]byte, apdu.SW)                { return nil, apdu.OK }
func (n *notebook) Process(int, apdu.Command) (r apdu.Response) { return apdu.Response{SW: apdu.OK} }
func (n *notebook) Deselect(int)                                {}
func (n *notebook) Reset()                                      {}
func (n *notebook) AbortPersonalization()                       { n.running, n.draft = false, "" }

func (n *notebook) BeginPersonalization(decrypt func([]byte) ([]byte, error)) {
	n.running, n.draft, n.decrypt = true, n.stored, decrypt
}

func (n *notebook) StoreData(p1, p2 byte, data []byte) apdu.Response {
	if !n.running {
		return apdu.Response{SW: apdu.ConditionsNot}
	}
	if string(data) == "!" {
		n.AbortPersonalization()
		return apdu.Response{SW: apdu.WrongData}
	}
	var answer []byte
	if string(data) == "?" {
		answer = []byte(n.stored)
	} else {
		n.draft += string(data)
	}
	if p1&0x80 != 0 {
		n.stored = n.draft
		n.AbortPersonalization()
	}
	return apdu.Response{Data: answer, SW: apdu.OK}
}

// bench is a card with a security domain and a notebook.
type bench struct {
	card     *uicc.UICC
	notebook *notebook
	saved    domain.State // what survives loss of power
	refuse   error        // what the disk says
}

var iccid = card.ICCID("89882119900000000005")

func keys() scp03.Keys {
	return scp03.Keys{ENC: bytes.Repeat([]byte{1}, 16), MAC: bytes.Repeat([]byte{2}, 16), DEK: bytes.Repeat([]byte{3}, 16)}
}

type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newBench(t tester) *bench {
	t.Helper()
	b := &bench{notebook: new(notebook), saved: domain.NewState(keys(), 0x30)}
	d := domain.New(b.saved, iccid.File(), func(next domain.State) error {
		if b.refuse == nil {
			b.saved = next
		}
		return b.refuse
	}, b.notebook)
	u, err := uicc.New(iccid, "uicc", nil, d, b.notebook)
	if err != nil {
		t.Fatal(err)
	}
	b.card = u
	b.selectDomain(t, 0)
	return b
}

func (b *bench) send(t tester, c apdu.Command) apdu.Response {
	t.Helper()
	command, err := c.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	r, err := apdu.ParseResponse(b.card.Process(command))
	if err != nil {
		t.Fatal(err)
	}
	if r.SW>>8 == 0x61 {
		return b.send(t, apdu.Command{CLA: c.CLA, INS: 0xC0, Le: int(r.SW & 0xFF)})
	}
	return r
}

func (b *bench) selectDomain(t tester, ch int) apdu.Response {
	t.Helper()
	r := b.send(t, apdu.Command{CLA: apdu.OnChannel(0, ch), INS: 0xA4, P1: 4, Data: domain.DefaultAID, Le: 256})
	if r.SW != apdu.OK {
		t.Fatal(r.SW)
	}
	return r
}

func on(c apdu.Command, ch int) apdu.Command {
	c.CLA = apdu.OnChannel(c.CLA, ch)
	return c
}

// open opens a session with the given keys on a channel and tells the last status word.
func (b *bench) open(t tester, k scp03.Keys, level scp03.Level, ch int) (*scp03.Host, apdu.SW) {
	t.Helper()
	h, err := scp03.NewHost(k, 0x30, [8]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	h.AID = domain.DefaultAID
	r := b.send(t, on(h.InitializeUpdate(), ch))
	if r.SW != apdu.OK {
		return h, r.SW
	}
	authenticate, err := h.Authenticate(r.Data, level)
	if err != nil {
		t.Fatal(err)
	}
	return h, b.send(t, on(authenticate, ch)).SW
}

// fail sends an EXTERNAL AUTHENTICATE of somebody without the keys.
func (b *bench) fail(t tester) apdu.SW {
	t.Helper()
	if r := b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, Data: make([]byte, 8), Le: 256}); r.SW != apdu.OK {
		return r.SW
	}
	return b.send(t, apdu.Command{CLA: 0x84, INS: 0x82, P1: 0x33, Data: make([]byte, 16)}).SW
}

func (b *bench) mustOpen(t tester, level scp03.Level, ch int) *scp03.Host {
	t.Helper()
	h, sw := b.open(t, keys(), level, ch)
	if sw != apdu.OK {
		t.Fatal(sw)
	}
	return h
}

// seal sends one command through the session.
func (b *bench) seal(t tester, h *scp03.Host, ch int, c apdu.Command) apdu.Response {
	t.Helper()
	w, err := h.Wrap(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := h.Unwrap(b.send(t, on(w, ch)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func block(p1, p2 byte, text string) apdu.Command {
	return apdu.Command{CLA: 0x80, INS: 0xE2, P1: p1, P2: p2, Data: []byte(text), Le: 256}
}

var (
	install = perso.InstallForPersonalization(notebookAID)
	getKeys = apdu.Command{CLA: 0x80, INS: 0xCA, P2: 0xE0, Le: 256}
)

func wantSW(t *testing.T, what string, got, want apdu.SW) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %04X, want %04X", what, uint16(got), uint16(want))
	}
}

func TestSelectTellsWhoItIs(t *testing.T) {
	b := newBench(t)
	if got := fmt.Sprintf("%X", b.selectDomain(t, 0).Data); got != "6F108408A000000151000000A5049F6501FF" {
		t.Errorf("file control information %s", got)
	}
}

func TestGetDataTellsWhatIsPublic(t *testing.T) {
	b := newBench(t)
	for tag, want := range map[uint16]string{
		0x00E0: "E012C00401308810C00402308810C00403308810",
		0x0066: "6631732F06072A864886FC6B01600C060A2A864886FC6B02020301630906072A864886FC6B03640B06092A864886FC6B040370",
		0x00C1: "C103000000",
		0x0045: "450A98881291090000000050",
	} {
		r := b.send(t, apdu.Command{CLA: 0x80, INS: 0xCA, P1: byte(tag >> 8), P2: byte(tag), Le: 256})
		if got := fmt.Sprintf("%X", r.Data); got != want || r.SW != apdu.OK {
			t.Errorf("tag %04X: %s %04X, want %s", tag, got, uint16(r.SW), want)
		}
	}
	wantSW(t, "unknown tag", b.send(t, apdu.Command{CLA: 0x80, INS: 0xCA, P1: 0x9F, P2: 0x7F, Le: 256}).SW, apdu.ReferenceNotFound)
	wantSW(t, "unknown instruction", b.send(t, apdu.Command{CLA: 0x80, INS: 0xF0}).SW, apdu.InstructionNot)
}

func TestPersonalisationStoresWhatTheHostSays(t *testing.T) {
	for _, level := range []scp03.Level{0x13, 0x33} {
		for _, ch := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s, channel %d", level, ch), func(t *testing.T) {
				b := newBench(t)
				b.selectDomain(t, ch)
				h := b.mustOpen(t, level, ch)
				if !bytes.Equal(h.Diversification(), []byte{0x98, 0x88, 0x12, 0x91, 0x09, 0, 0, 0, 0, 0x50}) {
					t.Errorf("diversification data %X is not the ICCID", h.Diversification())
				}
				if r := b.seal(t, h, ch, install); r.SW != apdu.OK || !bytes.Equal(r.Data, []byte{0}) {
					t.Fatalf("INSTALL: %X %v", r.Data, r.SW)
				}
				wantSW(t, "block 0", b.seal(t, h, ch, block(0x11, 0, "one ")).SW, apdu.OK)
				if b.notebook.stored != "" {
					t.Error("stored before the last block")
				}
				wantSW(t, "block 1", b.seal(t, h, ch, block(0x91, 1, "two")).SW, apdu.OK)
				if b.notebook.stored != "one two" {
					t.Errorf("stored %q", b.notebook.stored)
				}
				wantSW(t, "a block behind the last", b.seal(t, h, ch, block(0x11, 2, "three")).SW, apdu.ConditionsNot)
				b.seal(t, h, ch, install)
				if r := b.seal(t, h, ch, block(0x91, 0, "?")); string(r.Data) != "one two" {
					t.Errorf("answer %q", r.Data)
				}
			})
		}
	}
}

func TestSecretsArriveUnderTheKeyEncryptionKey(t *testing.T) {
	b := newBench(t)
	h := b.mustOpen(t, scp03.Full, 0)
	b.seal(t, h, 0, install)
	sealed, err := h.EncryptSensitive([]byte("a secret"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.notebook.decrypt(sealed); err != nil || string(got) != "a secret" {
		t.Errorf("deciphered %q, %v", got, err)
	}
}

// What the application is told to keep is kept only if it came in one sequence, in order,
// to the last block.
func TestPersonalisationEndsWithoutEffect(t *testing.T) {
	for name, disturb := range map[string]func(t *testing.T, b *bench, h *scp03.Host){
		"wrong block number": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "block 2", b.seal(t, h, 0, block(0x91, 2, "two")).SW, apdu.WrongP1P2)
		},
		"repeated block": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "block 0", b.seal(t, h, 0, block(0x91, 0, "one")).SW, apdu.WrongP1P2)
		},
		"refused block": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "block 1", b.seal(t, h, 0, block(0x91, 1, "!")).SW, apdu.WrongData)
		},
		"another command": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "GET DATA", b.seal(t, h, 0, getKeys).SW, apdu.OK)
		},
		"INSTALL again": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "INSTALL", b.seal(t, h, 0, install).SW, apdu.OK)
		},
		"INSTALL for nobody": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "INSTALL", b.seal(t, h, 0, perso.InstallForPersonalization([]byte{0xA0, 0, 0, 0, 9})).SW, apdu.ReferenceNotFound)
		},
		"reset": func(t *testing.T, b *bench, h *scp03.Host) {
			b.card.Reset()
			b.selectDomain(t, 0)
		},
		"SELECT again":              func(t *testing.T, b *bench, h *scp03.Host) { b.selectDomain(t, 0) },
		"SELECT of the application": func(t *testing.T, b *bench, h *scp03.Host) { b.send(t, selectNotebook(0)); b.selectDomain(t, 0) },
		"SELECT of a file": func(t *testing.T, b *bench, h *scp03.Host) {
			b.send(t, apdu.Command{INS: 0xA4, P2: 0x0C})
			b.selectDomain(t, 0)
		},
		"a plain command": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "GET DATA", b.send(t, getKeys).SW, apdu.SecurityNotSatisfied)
		},
		"a command with a wrong MAC": func(t *testing.T, b *bench, h *scp03.Host) { tamper(t, b, h) },
		"a session on another channel": func(t *testing.T, b *bench, h *scp03.Host) {
			b.selectDomain(t, 1)
			b.mustOpen(t, scp03.Full, 1)
		},
		"a session that is refused": func(t *testing.T, b *bench, h *scp03.Host) {
			wantSW(t, "INITIALIZE UPDATE", b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, P1: 0x01, Data: make([]byte, 8)}).SW, apdu.ReferenceNotFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			h := b.mustOpen(t, scp03.Full, 0)
			b.seal(t, h, 0, install)
			wantSW(t, "block 0", b.seal(t, h, 0, block(0x11, 0, "one ")).SW, apdu.OK)
			disturb(t, b, h)
			if w, err := h.Wrap(block(0x91, 1, "two")); err == nil {
				if r := b.send(t, w); r.SW == apdu.OK {
					t.Error("the last block was accepted after all")
				}
			}
			if b.notebook.stored != "" || b.notebook.draft == "one " {
				t.Errorf("the application keeps %q and %q", b.notebook.stored, b.notebook.draft)
			}
		})
	}
}

func selectNotebook(ch int) apdu.Command {
	return apdu.Command{CLA: apdu.OnChannel(0, ch), INS: 0xA4, P1: 4, Data: notebookAID}
}

func tamper(t *testing.T, b *bench, h *scp03.Host) {
	t.Helper()
	w, err := h.Wrap(getKeys)
	if err != nil {
		t.Fatal(err)
	}
	w.Data[0] ^= 1
	wantSW(t, "changed command", b.send(t, w).SW, apdu.SecurityNotSatisfied)
}

func TestClosingTheChannelEndsTheSession(t *testing.T) {
	b := newBench(t)
	b.selectDomain(t, 1)
	h := b.mustOpen(t, scp03.Full, 1)
	b.seal(t, h, 1, install)
	b.send(t, apdu.Command{INS: 0x70, P1: 0x80, P2: 1})
	if b.notebook.running {
		t.Error("the personalisation goes on")
	}
	b.selectDomain(t, 1)
	w, err := h.Wrap(block(0x91, 0, "late"))
	if err != nil {
		t.Fatal(err)
	}
	wantSW(t, "block after the end", b.send(t, on(w, 1)).SW, apdu.SecurityNotSatisfied)
}

func TestSessionBelongsToItsChannel(t *testing.T) {
	b := newBench(t)
	b.selectDomain(t, 1)
	h := b.mustOpen(t, scp03.Full, 0)
	w, err := h.Wrap(getKeys)
	if err != nil {
		t.Fatal(err)
	}
	wantSW(t, "on another channel", b.send(t, on(w, 1)).SW, apdu.SecurityNotSatisfied)
	wantSW(t, "in clear on another channel", b.send(t, on(getKeys, 1)).SW, apdu.OK)
	if r, err := h.Unwrap(b.send(t, w)); err != nil || r.SW != apdu.OK {
		t.Errorf("on its own channel: %v %v", r.SW, err)
	}
}

func TestPersonalisationDemandsCiphersAndAnswersWithMAC(t *testing.T) {
	for _, level := range []scp03.Level{0x01, 0x03, 0x11} {
		b := newBench(t)
		h := b.mustOpen(t, level, 0)
		wantSW(t, level.String(), b.seal(t, h, 0, install).SW, apdu.SecurityNotSatisfied)
		wantSW(t, level.String(), b.seal(t, h, 0, block(0x91, 0, "x")).SW, apdu.SecurityNotSatisfied)
		wantSW(t, level.String()+", the session goes on", b.seal(t, h, 0, getKeys).SW, apdu.OK)
	}
	b := newBench(t)
	wantSW(t, "no session", b.send(t, install).SW, apdu.SecurityNotSatisfied)
	wantSW(t, "no session", b.send(t, block(0x91, 0, "x")).SW, apdu.SecurityNotSatisfied)
}

func TestInstallInOtherFormsIsRefused(t *testing.T) {
	b := newBench(t)
	h := b.mustOpen(t, scp03.Full, 0)
	for _, c := range []struct {
		p1, p2 byte
		data   string
		want   apdu.SW
	}{
		{0x0C, 0, "000007A0000005590010000000", apdu.WrongP1P2},
		{0x20, 1, "000007A0000005590010000000", apdu.WrongP1P2},
		{0x20, 0, "", apdu.WrongData},
		{0x20, 0, "000000000000", apdu.ReferenceNotFound},
		{0x20, 0, "000008A0000005590010000000", apdu.WrongData},
		{0x20, 0, "000007A0000005590010000001", apdu.WrongData},
		{0x20, 0, "010007A0000005590010000000", apdu.WrongData},
		{0x20, 0, "000007A000000559001000000000", apdu.WrongData},
		{0x20, 0, "000006A00000055900000000", apdu.ReferenceNotFound},
	} {
		data, err := hex.DecodeString(c.data)
		if err != nil {
			t.Fatal(err)
		}
		wantSW(t, c.data, b.seal(t, h, 0, apdu.Command{CLA: 0x80, INS: 0xE6, P1: c.p1, P2: c.p2, Data: data, Le: 256}).SW, c.want)
	}
}

func TestSequenceCounterIsOnDiskBeforeTheAnswer(t *testing.T) {
	b := newBench(t)
	for want := uint32(1); want <= 3; want++ {
		h := b.mustOpen(t, scp03.Full, 0)
		if h.SequenceCounter() != want || b.saved.SequenceCounter != want {
			t.Errorf("counter %d, on disk %d: want %d", h.SequenceCounter(), b.saved.SequenceCounter, want)
		}
	}
	b.refuse = errors.New("disk full")
	_, sw := b.open(t, keys(), scp03.Full, 0)
	wantSW(t, "INITIALIZE UPDATE on a full disk", sw, apdu.MemoryFailure)
	b.refuse = nil
	if h := b.mustOpen(t, scp03.Full, 0); h.SequenceCounter() != 4 {
		t.Errorf("counter %d after a write that failed: want 4", h.SequenceCounter())
	}
}

func TestTenFailedAuthenticationsInARowBlockTheKeys(t *testing.T) {
	b := newBench(t)
	for i := 1; i < domain.MaxFailed; i++ {
		wantSW(t, "wrong host", b.fail(t), apdu.AuthenticationFailed)
		if b.saved.Failed != i {
			t.Fatalf("%d failures on disk: want %d", b.saved.Failed, i)
		}
	}
	b.mustOpen(t, scp03.Full, 0)
	if b.saved.Failed != 0 {
		t.Errorf("%d failures on disk after a success: want 0", b.saved.Failed)
	}
	for range domain.MaxFailed {
		wantSW(t, "wrong host", b.fail(t), apdu.AuthenticationFailed)
	}
	counter := b.saved.SequenceCounter
	b.card.Reset()
	b.selectDomain(t, 0)
	_, sw := b.open(t, keys(), scp03.Full, 0)
	wantSW(t, "right host, too late", sw, apdu.Blocked)
	if b.saved.SequenceCounter != counter {
		t.Error("a blocked key set still counts sessions")
	}
}

func TestAbandonedSessionIsNoFailure(t *testing.T) {
	b := newBench(t)
	for range 2 * domain.MaxFailed {
		b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, Data: make([]byte, 8), Le: 256})
	}
	b.mustOpen(t, scp03.Full, 0)
}

func TestFailureThatCannotBeCountedIsStillARefusal(t *testing.T) {
	b := newBench(t)
	b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, Data: make([]byte, 8), Le: 256})
	b.refuse = errors.New("disk full")
	r := b.send(t, apdu.Command{CLA: 0x84, INS: 0x82, P1: 0x33, Data: make([]byte, 16)})
	wantSW(t, "EXTERNAL AUTHENTICATE", r.SW, apdu.MemoryFailure)
}

func TestMalformedAuthenticationIsRefusedAndNotCounted(t *testing.T) {
	b := newBench(t)
	wantSW(t, "without a beginning", b.send(t, apdu.Command{CLA: 0x84, INS: 0x82, P1: 0x33, Data: make([]byte, 16)}).SW, apdu.ConditionsNot)
	wantSW(t, "unknown key version", b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, P1: 0x31, Data: make([]byte, 8)}).SW, apdu.ReferenceNotFound)
	wantSW(t, "long challenge", b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, P1: 0x30, Data: make([]byte, 16)}).SW, apdu.WrongLength)
	wantSW(t, "P2", b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, P1: 0x30, P2: 1, Data: make([]byte, 8)}).SW, apdu.WrongP1P2)
	b.send(t, apdu.Command{CLA: 0x80, INS: 0x50, Data: make([]byte, 8), Le: 256})
	wantSW(t, "level 02", b.send(t, apdu.Command{CLA: 0x84, INS: 0x82, P1: 0x02, Data: make([]byte, 16)}).SW, apdu.WrongP1P2)
	if b.saved.Failed != 0 {
		t.Errorf("%d failures were counted", b.saved.Failed)
	}
}

func TestStateSurvivesItsJSONFormAndIsNeverPrinted(t *testing.T) {
	s := domain.NewState(keys(), 0x30)
	s.SequenceCounter, s.Failed = 70000, 3
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var got domain.State
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	again, _ := json.Marshal(got)
	if !bytes.Equal(again, b) {
		t.Errorf("read back as %s", got.Keys)
	}
	if text := fmt.Sprintf("%v %+v %#v %x", s, s, s, s); strings.Contains(text, "0101") || strings.Contains(text, "0x1, 0x1") || strings.Contains(text, "1 1 1") {
		t.Errorf("prints its keys: %s", text)
	}
	for _, damaged := range []string{`{}`, `{"aid":"AAAAAAA=","keyVersion":48}`, strings.Replace(string(b), `"keyVersion":48`, `"keyVersion":1`, 1), strings.Replace(string(b), "70000", "16777216", 1)} {
		if json.Unmarshal([]byte(damaged), &got) == nil {
			t.Errorf("%s was accepted", damaged)
		}
	}
}

// Whatever comes in between, and wherever the sequence is cut, the application keeps all
// of a script or nothing.
func TestAnyCutLeavesTheStoreAsBeforeOrAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBench(t)
		b.notebook.stored = "before"
		h := b.mustOpen(t, scp03.Full, 0)
		blocks := rapid.IntRange(1, 6).Draw(t, "blocks")
		after := "before"
		script := []apdu.Command{install}
		for i := range blocks {
			p1 := byte(0x11)
			if i == blocks-1 {
				p1 = 0x91
			}
			text := fmt.Sprintf("%d", i)
			after += text
			script = append(script, block(p1, byte(i), text))
		}
		cut := rapid.IntRange(0, len(script)).Draw(t, "cut after")
		for _, c := range script[:cut] {
			b.seal(t, h, 0, c)
		}
		b.card.Reset()
		want := "before"
		if cut == len(script) {
			want = after
		}
		if b.notebook.stored != want || b.notebook.running {
			t.Fatalf("stored %q: want %q", b.notebook.stored, want)
		}
		b.selectDomain(t, 0)
		h = b.mustOpen(t, scp03.Full, 0)
		b.seal(t, h, 0, install)
		if r := b.seal(t, h, 0, block(0x91, 0, "+")); r.SW != apdu.OK || b.notebook.stored != want+"+" {
			t.Fatalf("a second try: %v, %q", r.SW, b.notebook.stored)
		}
	})
}

func FuzzProcess(f *testing.F) {
	for _, s := range []string{"80500000080102030405060708", "8482330010000102030405060708090A0B0C0D0E0F", "80CA00E000", "80E620000D000007A0000005590010000000", "80E2910001FF"} {
		b, _ := hex.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, command []byte) {
		b := newBench(t)
		b.mustOpen(t, scp03.Full, 0)
		if r := b.card.Process(command); len(r) < 2 {
			t.Errorf("no status word: %X", r)
		}
		b.fail(t)
		b.card.Process(command)
		if b.notebook.running {
			t.Error("a personalisation was begun without the keys")
		}
	})
}
