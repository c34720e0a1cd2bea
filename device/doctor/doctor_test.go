package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/card/modem"
	"github.com/simroot/simroot/card/pcsc"
	"github.com/simroot/simroot/device/internal/fixture"
	"github.com/simroot/simroot/vsim"
)

var update = flag.Bool("update", false, "write the golden files anew")

// faulty is a SIM that answers otherwise where on says so: with a status word, or an error.
type faulty struct {
	*vsim.Card
	on       func(command []byte) (any, bool)
	commands [][]byte
	closed   bool
}

func (f *faulty) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	f.commands = append(f.commands, slices.Clone(command))
	if f.on != nil {
		switch answer, hit := f.on(command); answer := answer.(type) {
		case error:
			return nil, answer
		case int:
			return []byte{byte(answer >> 8), byte(answer)}, nil
		case []byte:
			return answer, nil
		default:
			if hit {
				panic("what should it answer?")
			}
		}
	}
	return f.Card.Transmit(ctx, command)
}

func (f *faulty) Close() error {
	f.closed = true
	return nil
}

// to answers commands with this instruction, and these parameters if they are given.
func to(ins byte, p1 int, answer any) func([]byte) (any, bool) {
	return func(command []byte) (any, bool) {
		if command[1] == ins && (p1 < 0 || command[2] == byte(p1)) {
			return answer, true
		}
		return nil, false
	}
}

// Instructions and parameters of what is broken here.
const (
	insSelect, insManageChannel, insGetData byte = 0xA4, 0x70, 0xCB

	byAID, byPath, anyP1    = 0x04, 0x08, -1
	application, objectList = 0x00, 0x01
)

// Every link of the chain, broken in the ways that are known from the field: the report
// names the link, and nothing behind it is tried.
var breaks = []struct {
	name, link string
	open       error                          // of opening the card
	on         func([]byte) (any, bool)       // of the open card
	sim        func(t *testing.T) *vsim.Card  // nil: one that is good
	change     func(t *testing.T, o *Options) // of what is asked
}{
	{name: "port-not-there", link: "port", open: fmt.Errorf("open /dev/ttyUSB2: %w", fs.ErrNotExist)},
	{name: "port-not-allowed", link: "port", open: fmt.Errorf("open /dev/ttyUSB2: %w", fs.ErrPermission)},
	{name: "port-in-use", link: "port", open: fmt.Errorf("/dev/ttyUSB2: %w by process 4711 (ModemManager)", modem.ErrInUse)},
	{name: "port-refused", link: "port", open: fmt.Errorf("dial tcp 192.0.2.1:7000: %w", syscall.ECONNREFUSED)},
	{name: "port-unknown-error", link: "port", open: errors.New("the plug is not in the socket")},
	{name: "service-missing", link: "port", open: pcsc.ErrNoService},
	{name: "modem-silent", link: "modem/reader", open: modem.ErrSilent},
	{name: "modem-without-access", link: "modem/reader", open: modem.ErrNoAccess},
	{name: "modem-firmware-too-old", link: "modem/reader", open: &modem.FirmwareError{Has: "mfw_nrf9160_1.2.7", Wants: "1.3.1"}},
	{name: "reader-missing", link: "modem/reader", open: fmt.Errorf("%w: plug one in", pcsc.ErrNoReader)},
	{name: "sim-missing-in-modem", link: "SIM", open: fmt.Errorf("ask for the SIM: %w", modem.CMEError(10))},
	{name: "sim-wants-pin", link: "SIM", open: fmt.Errorf("ask for the SIM: %w", modem.CMEError(11))},
	{name: "sim-failure-no-profile", link: "SIM", open: fmt.Errorf("ask for the SIM: %w", modem.CMEError(13))},
	{name: "sim-busy", link: "SIM", open: fmt.Errorf("ask for the SIM: %w", modem.CMEError(14))},
	{name: "sim-missing-in-reader", link: "SIM", open: fmt.Errorf("%w: insert one", pcsc.ErrNoCard)},
	{name: "sim-removed", link: "SIM", on: to(insSelect, byPath, pcsc.ErrCardRemoved)},
	{name: "sim-is-none", link: "SIM", on: func(c []byte) (any, bool) {
		if c[1] == insSelect && c[2] != byAID {
			return 0x6A82, true
		}
		return nil, false
	}},
	{name: "channels-in-use", link: "channel", on: to(insManageChannel, 0, 0x6A81)},
	{name: "channel-modem-times-out", link: "channel", on: to(insManageChannel, 0, modem.ErrTimeout)},
	{name: "channel-cme-error", link: "channel", on: to(insManageChannel, 0, fmt.Errorf("modem: command 70: %w", modem.CMEError(3)))},
	{name: "applet-not-found", link: "AID", on: to(insSelect, byAID, 0x6A82)},
	{name: "applet-not-selectable", link: "AID", on: to(insSelect, byAID, 0x6985)},
	{name: "select-cme-error-0", link: "AID", on: to(insSelect, byAID, fmt.Errorf("modem: command A4: %w", modem.CMEError(0)))},
	{name: "applet-is-another", link: "applet", on: to(insGetData, application, 0x6D00)},
	{name: "applet-bare-ok", link: "applet", on: to(insGetData, application, modem.ErrBareOK)},
	{name: "objects-torn", link: "objects", on: to(insGetData, objectList, modem.ErrTorn)},
	{name: "objects-none", link: "objects", on: to(insGetData, objectList, []byte{0x90, 0x00})},
	{name: "certificate-none", link: "certificate", sim: func(t *testing.T) *vsim.Card { return fixture.EmptySIM(t, "common") }},
	{name: "certificate-none-type2", link: "certificate", sim: func(t *testing.T) *vsim.Card { return fixture.EmptySIM(t, "type2") }},
	{name: "certificate-expired", link: "certificate", sim: func(t *testing.T) *vsim.Card {
		return fixture.NewCA(t).SIM(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
	}, change: at(time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC))},
	{name: "clock-behind", link: "clock", sim: func(t *testing.T) *vsim.Card {
		return fixture.NewCA(t).SIM(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC))
	}, change: at(time.Date(1970, 1, 1, 0, 0, 7, 0, time.UTC))},
}

func at(now time.Time) func(*testing.T, *Options) {
	return func(_ *testing.T, o *Options) { o.Now = func() time.Time { return now } }
}

func TestTheFirstBrokenLinkIsNamedAndNothingBehindItIsTried(t *testing.T) {
	for _, b := range breaks {
		t.Run(b.name, func(t *testing.T) {
			sim := &faulty{on: b.on}
			if b.open == nil {
				if sim.Card = goodSIM(t); b.sim != nil {
					sim.Card = b.sim(t)
				}
			}
			o := Options{Card: "modem:/dev/ttyUSB2", Open: func(context.Context) (card.Conn, error) {
				if b.open != nil {
					return nil, b.open
				}
				return sim, nil
			}}
			if b.change != nil {
				b.change(t, &o)
			}
			r := Examine(t.Context(), o)
			f := r.Broken()
			if r.Good || f == nil || f.Link != b.link {
				t.Fatalf("%+v", r)
			}
			if f.Saw == "" || f.Means == "" || f.Do == "" {
				t.Errorf("a link is broken, and the report leaves something open: %+v", *f)
			}
			behind := false
			for _, l := range r.Links {
				if behind && l.State != NotTried {
					t.Errorf("%s was tried behind the broken %s", l.Link, f.Link)
				}
				behind = behind || l.State == Broken
			}
			if b.open == nil && !sim.closed {
				t.Error("the card was left open")
			}
			golden(t, b.name, r)
		})
	}
}

// The links are those of the chain, each broken by a test here or in the file beside.
func TestEveryLinkIsBrokenByATest(t *testing.T) {
	told := map[string]bool{"platform": true, "server": true, "handshake": true} // network_test.go
	for _, b := range breaks {
		told[b.link] = true
	}
	for _, l := range chain {
		if !told[l.name] {
			t.Errorf("no test breaks the link %s", l.name)
		}
	}
}

func TestEveryCauseSaysWhatToDo(t *testing.T) {
	for _, c := range append(slices.Clone(causes), noName) {
		if c.means == "" || c.do == "" || !slices.ContainsFunc(chain, func(l link) bool { return l.name == c.link }) {
			t.Errorf("%+v", c)
		}
	}
}

func golden(t *testing.T, name string, r Report) {
	t.Helper()
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text.Bytes(), want) {
		t.Errorf("the report changed (run with -update if it is meant to):\n%s\nwant\n%s", &text, want)
	}
}

func goodSIM(t *testing.T) *vsim.Card {
	t.Helper()
	return fixture.NewCA(t).SIM(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2126, 1, 1, 0, 0, 0, 0, time.UTC))
}

func TestAGoodChainIsGoodThroughout(t *testing.T) {
	for name, sim := range map[string]*vsim.Card{"good": goodSIM(t), "good-type2": fixture.PSKSIM(t, bytes.Repeat([]byte{7}, 32))} {
		t.Run(name, func(t *testing.T) {
			f := &faulty{Card: sim}
			o := Options{Card: "vsim:one.sim", Open: func(context.Context) (card.Conn, error) { return f, nil }}
			at(time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC))(t, &o)
			r := Examine(t.Context(), o)
			if !r.Good || r.Broken() != nil || !f.closed {
				t.Errorf("%+v", r)
			}
			golden(t, name, r)
			for _, c := range f.commands {
				if ins := c[1]; ins == 0xD6 || ins == 0xE2 || ins == 0xB9 || ins == 0x24 {
					t.Errorf("the doctor changes the SIM: % X", c)
				}
			}
		})
	}
}

func TestACardWithoutManageChannelIsTriedOnChannelOne(t *testing.T) {
	f := &faulty{Card: goodSIM(t), on: to(insManageChannel, anyP1, 0x6D00)}
	r := Examine(t.Context(), Options{Open: func(context.Context) (card.Conn, error) { return f, nil }})
	for _, l := range r.Links {
		if l.Link == "channel" && (l.State != Good || !strings.Contains(l.Saw, "channel 1")) {
			t.Errorf("%+v", l)
		}
	}
}

func TestAnotherAIDIsTriedAlone(t *testing.T) {
	f := &faulty{Card: goodSIM(t)}
	r := Examine(t.Context(), Options{AIDs: [][]byte{{0xA0, 1, 2, 3, 4}}, Open: func(context.Context) (card.Conn, error) { return f, nil }})
	if b := r.Broken(); b == nil || b.Link != "AID" || !strings.Contains(b.Saw, "SELECT A001020304: ") {
		t.Errorf("%+v", r)
	}
}

func TestAReportIsJSON(t *testing.T) {
	f := &faulty{Card: goodSIM(t), on: to(insSelect, byAID, 0x6A82)}
	text, err := json.Marshal(Examine(t.Context(), Options{Open: func(context.Context) (card.Conn, error) { return f, nil }}))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"good":false`, `{"link":"AID","state":"broken","saw":"SELECT A0000005590010, A0000002480400, A00000003053F1240177010149534`, `{"link":"applet","state":"not tried"}`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

func TestProgressNamesEachLinkThatIsTried(t *testing.T) {
	f := &faulty{Card: goodSIM(t), on: to(insSelect, byAID, 0x6A82)}
	var told []string
	Examine(t.Context(), Options{
		Open: func(context.Context) (card.Conn, error) { return f, nil },
		Progress: func(link string, at, total int) {
			if at != len(told) || total != len(chain) {
				t.Errorf("%s is %d of %d", link, at, total)
			}
			told = append(told, link)
		},
	})
	if got := strings.Join(told, ", "); got != "port, modem/reader, SIM, channel, AID" {
		t.Error(got)
	}
}

func TestTheSessionCanBeRecorded(t *testing.T) {
	f := &faulty{Card: goodSIM(t)}
	recorded := &faulty{Card: f.Card}
	r := Examine(t.Context(), Options{
		Open:   func(context.Context) (card.Conn, error) { return f, nil },
		Record: func(card.Conn) (card.Conn, error) { return recorded, nil },
	})
	if !r.Good || len(f.commands) > 0 || len(recorded.commands) == 0 || !recorded.closed {
		t.Errorf("%d commands passed by the recorder: %+v", len(f.commands), r)
	}
}
