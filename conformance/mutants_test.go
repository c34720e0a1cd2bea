package conformance_test

import (
	"bytes"
	"regexp"
	"slices"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/conformance"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim/applet"
)

// mutant is a deliberately wrong applet: the right one with one small fault.
type mutant struct {
	name  string
	by    string // the test that finds it
	fault fault
}

// fault changes a right applet into a wrong one.
type fault func(*wrong)

// handler carries out one command on a channel.
type handler func(ch int, c apdu.Command) apdu.Response

// wrong is the applet with a fault.
type wrong struct {
	*applet.Applet
	process  handler
	selects  func(ch int)
	deselect func(ch int)
	card     func(command []byte, pass func([]byte) []byte) []byte
}

func (w *wrong) Process(ch int, c apdu.Command) apdu.Response { return w.process(ch, c) }
func (w *wrong) Deselect(ch int)                              { w.deselect(ch) }
func (w *wrong) Select(ch int) ([]byte, apdu.SW) {
	w.selects(ch)
	return nil, apdu.OK
}

// newWrong is a card with a wrong applet.
func newWrong(t *testing.T, f fault) *sim {
	t.Helper()
	w := &wrong{Applet: newApplet(fullState(t))}
	w.process, w.deselect = w.Applet.Process, w.Applet.Deselect
	w.selects = func(ch int) { w.Applet.Select(ch) }
	if f != nil {
		f(w)
	}
	s := newSIM(t, w)
	s.alter = w.card
	return s
}

// Instructions.
const (
	putInit, putUpdate       = 0x24, 0xD8
	signInit, signUpdate     = 0x2A, 0x2B
	verifyInit, verifyUpdate = 0x2C, 0x2D
	computeDH, computePRF    = 0x46, 0x48
	computeHKDF, getRandom   = 0x4A, 0x84
	readFile, generate       = 0xB0, 0xB9
	getData, readKey         = 0xCB, 0xCD
)

// around puts a fault around everything that the applet does.
func around(f func(ch int, c apdu.Command, right handler) apdu.Response) fault {
	return func(w *wrong) {
		right := w.process
		w.process = func(ch int, c apdu.Command) apdu.Response { return f(ch, c, right) }
	}
}

// before changes commands of one instruction.
func before(ins byte, change func(c *apdu.Command)) fault {
	return around(func(ch int, c apdu.Command, right handler) apdu.Response {
		if c.INS == ins {
			c.Data = bytes.Clone(c.Data)
			change(&c)
		}
		return right(ch, c)
	})
}

// after changes answers to one instruction.
func after(ins byte, change func(c apdu.Command, r apdu.Response) apdu.Response) fault {
	return around(func(ch int, c apdu.Command, right handler) apdu.Response {
		r := right(ch, c)
		if c.INS == ins {
			r.Data = bytes.Clone(r.Data)
			return change(c, r)
		}
		return r
	})
}

// data changes the data that an instruction answers when it succeeds.
func data(ins byte, change func(b []byte) []byte) fault {
	return after(ins, func(_ apdu.Command, r apdu.Response) apdu.Response {
		if len(r.Data) > 0 && r.SW.Processed() {
			r.Data = change(r.Data)
		}
		return r
	})
}

// answers makes an instruction answer to where it should answer from.
func answers(ins byte, from, to apdu.SW) fault {
	return after(ins, func(_ apdu.Command, r apdu.Response) apdu.Response {
		if r.SW == from {
			return apdu.Response{SW: to}
		}
		return r
	})
}

// ignoresP1 makes an instruction read P1 as if it were another, and ignoresP2 likewise.
func ignoresP1(ins, p1 byte, known ...byte) fault {
	return before(ins, func(c *apdu.Command) {
		if !slices.Contains(known, c.P1) {
			c.P1 = p1
		}
	})
}

func ignoresP2(ins byte) fault { return before(ins, func(c *apdu.Command) { c.P2 = 0 }) }

// onCard puts a fault into the card below the applet.
func onCard(f func(command []byte, pass func([]byte) []byte) []byte) fault {
	return func(w *wrong) { w.card = f }
}

// both has two faults that only together are one.
func both(a, b fault) fault { return func(w *wrong) { a(w); b(w) } }

// info changes the application information.
func info(change func(b []byte) []byte) fault {
	return after(getData, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.P1 == 0 && r.SW == apdu.OK {
			r.Data = change(r.Data)
		}
		return r
	})
}

// entries changes every description of an object, in the list and alone.
func entries(change func(entry []byte) []byte) fault {
	return after(getData, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.P1 != 0 && r.SW.Processed() {
			r.Data = eachEntry(r.Data, change)
		}
		return r
	})
}

// list changes the descriptions of objects in the list only.
func list(change func(entry []byte) []byte) fault {
	return after(getData, func(c apdu.Command, r apdu.Response) apdu.Response {
		if c.P1 == 1 && r.SW.Processed() {
			r.Data = eachEntry(r.Data, change)
		}
		return r
	})
}

func eachEntry(b []byte, change func([]byte) []byte) []byte {
	var out []byte
	for len(b) > 0 {
		n := 2 + int(b[1])
		out = append(out, change(bytes.Clone(b[:n]))...)
		b = b[n:]
	}
	return out
}

// replace gives the attribute with a tag another value in a description; nil drops it.
func replace(entry []byte, tag byte, value []byte) []byte {
	var inner []byte
	for b := entry[2:]; len(b) > 0; {
		n := 2 + int(b[1])
		switch {
		case b[0] != tag:
			inner = append(inner, b[:n]...)
		case value != nil:
			inner = append(append(inner, tag, byte(len(value))), value...)
		}
		b = b[n:]
	}
	return append([]byte{entry[0], byte(len(inner))}, inner...)
}

// names tells whether a description is of an object.
func names(entry []byte, kind iotsafe.Kind, id string) bool {
	o, err := iotsafe.ParseObject(kind, entry)
	return err == nil && entry[0] == byte(kind) && string(o.ID) == id
}

// onlyFor has a fault show only behind an INIT that names a certain object.
func onlyFor(init byte, name string, f fault) fault {
	return func(w *wrong) {
		right := w.process
		f(w)
		wrongly, concerned := w.process, false
		w.process = func(ch int, c apdu.Command) apdu.Response {
			if c.INS == init && c.P1 == 0 {
				concerned = bytes.HasPrefix(c.Data, []byte(name))
			}
			if concerned {
				return wrongly(ch, c)
			}
			return right(ch, c)
		}
	}
}

// lie makes the card say something of an object to which it does not hold: a rule about
// the attribute is then decoration.
func lie(kind iotsafe.Kind, id string, tag byte, value ...byte) fault {
	return entries(func(entry []byte) []byte {
		if names(entry, kind, id) {
			return replace(entry, tag, value)
		}
		return entry
	})
}

// tlvs splits data of fields with one-byte lengths; ok is false if it is none.
func tlvs(b []byte) (fields [][]byte, ok bool) {
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return nil, false
		}
		fields, b = append(fields, b[:2+int(b[1])]), b[2+int(b[1]):]
	}
	return fields, true
}

// fieldOf is the value of a field, nil if there is none.
func fieldOf(data []byte, tag byte) []byte {
	fields, _ := tlvs(data)
	for _, f := range fields {
		if f[0] == tag {
			return f[2:]
		}
	}
	return nil
}

// survivors are wrong applets that the kit does not find, each with the reason.
var survivors = map[string]string{
	"mode 02 continues SHA-384 for SHA-512": "From the same state both hashes come to the same first 256 bits, " +
		"and ECDSA on a curve of 256 bits takes no more: no answer tells the two applets apart.",
}

// minMutants is the least number of wrong applets that the kit is held to.
const minMutants = 60

func mutants() []mutant {
	return slices.Concat(cardMutants, applicationMutants, listMutants, objectMutants, randomMutants, fileMutants,
		generateMutants, publicKeyMutants, putMutants, signMutants, sessionMutants, verifyMutants, agreementMutants,
		prfMutants, hkdfMutants, rsaMutants, transportMutants)
}

// A kit that never fails proves nothing: each wrong applet is found by the test that
// states what it breaks, and the same test passes on the right applet (see
// TestTheCorrectCardPassesEveryTest).
func TestEveryWrongAppletIsFound(t *testing.T) {
	all := mutants()
	if len(all) < minMutants || len(survivors) > 2 {
		t.Fatalf("%d wrong applets with %d survivors: want at least %d, and at most 2", len(all), len(survivors), minMutants)
	}
	seen := map[string]bool{}
	for _, m := range all {
		if seen[m.name] {
			t.Errorf("two wrong applets are called %q", m.name)
		}
		seen[m.name] = true
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			o := fullOptions()
			o.Only = regexp.MustCompile("^" + regexp.QuoteMeta(m.by) + "$")
			report, err := conformance.Run(t.Context(), newWrong(t, m.fault), o)
			if err != nil {
				t.Fatal(err)
			}
			if len(report.Results) != 1 {
				t.Fatalf("there is no test %s", m.by)
			}
			found := report.Results[0].Outcome == conformance.Failed
			if _, survives := survivors[m.name]; found == survives {
				t.Fatalf("%s %s: %s", m.by, report.Results[0].Outcome, report.Results[0].Reason)
			}
		})
	}
}

// Nor does a statement that nothing breaks.
func TestEveryStatementCanFail(t *testing.T) {
	broken := map[string]bool{}
	for _, m := range mutants() {
		broken[m.by] = true
	}
	for _, test := range conformance.Tests() {
		if !broken[test.ID] {
			t.Errorf("no wrong applet breaks %s: %s", test.ID, test.Title)
		}
	}
}
