package vsim_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/vsim"
	"github.com/simroot/simroot/vsim/image"
)

// signer is a client's key on the card.
func signer(t tester, c *vsim.Card) crypto.Signer {
	t.Helper()
	a, err := iotsafe.Select(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.GenerateKeyPair(t.Context(), "\x01")
	if err != nil {
		t.Fatal(err)
	}
	return a.Signer(t.Context(), "\x01", pair.Key)
}

// However many signatures a SIM makes, its image is not written, so it cannot grow. The
// file would be another one, not only of another size, if it were.
func TestSignaturesDoNotTouchTheImage(t *testing.T) {
	file, c := create(t)
	key := signer(t, c)
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	for range 3000 {
		if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	after, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || after.ModTime() != before.ModTime() || after.Size() != before.Size() {
		t.Errorf("%d bytes of %v before, %d of %v after", before.Size(), before.ModTime(), after.Size(), after.ModTime())
	}
	if now, err := os.ReadFile(file); err != nil || !bytes.Equal(now, content) {
		t.Errorf("the image has changed: %v", err)
	}
}

// provisioned is the state of a SIM with a credential on it, as an image file gives it:
// nothing of it is shared with another SIM's.
func provisioned(t tester) func() image.State {
	t.Helper()
	c := vsim.NewMemory(newState(t, "common"))
	i := connect(t, c, 0)
	for _, command := range script(t, i.host, 700) {
		if r := i.seal(t, command); r.SW != apdu.OK {
			t.Fatal(r.SW)
		}
	}
	stored := encoded(t, c.State())
	return func() image.State {
		t.Helper()
		var s image.State
		if err := json.Unmarshal([]byte(stored), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// heap is what lives on the heap now, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// sizeOfSIM is the memory that one of n SIMs takes, in bytes, after each has been used
// for what every client does first.
func sizeOfSIM(t tester, n int) float64 {
	t.Helper()
	state := provisioned(t)
	cards := make([]*vsim.Card, n)
	before := heap()
	for i := range cards {
		cards[i] = vsim.NewMemory(state())
		if _, err := card.ReadICCID(t.Context(), cards[i], 0); err != nil {
			t.Fatal(err)
		}
		if err := card.Select(t.Context(), cards[i], 1, iotsafe.AIDs[0]); err != nil {
			t.Fatal(err)
		}
	}
	size := float64(heap()-before) / float64(n)
	runtime.KeepAlive(cards)
	return size
}

func TestSIMTakesLittleMemory(t *testing.T) {
	const most = 8 << 10
	if size := sizeOfSIM(t, 2000); size > most {
		t.Errorf("a SIM takes %.0f bytes: want at most %d", size, most)
	}
}

// BenchmarkManySIMs opens 100,000 SIMs at once.
func BenchmarkManySIMs(b *testing.B) {
	var size float64
	for b.Loop() {
		size = sizeOfSIM(b, 100_000)
	}
	b.ReportMetric(size, "B/SIM")
	b.ReportMetric(0, "allocs/op")
}

// BenchmarkOpen is the opening of a provisioned SIM's image until it answers.
func BenchmarkOpen(b *testing.B) {
	file := filepath.Join(b.TempDir(), "bench.sim")
	c, err := vsim.Create(file, provisioned(b)())
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, err := vsim.Open(file)
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// plainCommands are commands without cryptography, by name.
var plainCommands = map[string]apdu.Command{
	"read file":      {CLA: 0x81, INS: 0xB0, Data: []byte{0x83, 1, 2}, Le: 256},
	"describe file":  {CLA: 0x81, INS: 0xCB, P1: 0xC3, Data: []byte{0x83, 1, 2}, Le: 256},
	"information":    {CLA: 0x81, INS: 0xCB, Le: 68},
	"list":           {CLA: 0x81, INS: 0xCB, P1: 1, Le: 256},
	"unknown":        {CLA: 0x81, INS: 0x02},
	"read ICCID":     {INS: 0xB0, P1: 0x82, Le: 10},
	"select applet":  {CLA: 0x01, INS: 0xA4, P1: 4, P2: 0x0C, Data: iotsafe.AIDs[0]},
	"public key":     {CLA: 0x81, INS: 0xCD, Data: []byte{0x85, 1, 1}, Le: 256},
	"open session":   {CLA: 0x81, INS: 0x2A, P2: 1, Data: []byte{0x84, 1, 1, 0xA1, 1, 3, 0x91, 2, 0, 1, 0x92, 1, 4}},
	"status of card": {CLA: 0x80, INS: 0xF2, P2: 0x0C},
}

// used is a card on which an application is selected, and the bytes of a command.
func used(t tester, command apdu.Command) (*vsim.Card, []byte) {
	t.Helper()
	c := vsim.NewMemory(provisioned(t)())
	if err := card.Select(t.Context(), c, 1, iotsafe.AIDs[0]); err != nil {
		t.Fatal(err)
	}
	b, err := command.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return c, b
}

func TestCommandTakesFewAllocations(t *testing.T) {
	const most = 10
	for name, command := range plainCommands {
		c, b := used(t, command)
		n := testing.AllocsPerRun(100, func() {
			if _, err := c.Transmit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		})
		if n > most {
			t.Errorf("%s: %.0f allocations, want at most %d", name, n, most)
		}
	}
}

// BenchmarkPlainCommand is the overhead of the card: commands without cryptography.
func BenchmarkPlainCommand(b *testing.B) {
	for name, command := range plainCommands {
		b.Run(name, func(b *testing.B) {
			c, bytes := used(b, command)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Transmit(b.Context(), bytes); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
