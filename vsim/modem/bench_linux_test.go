package modem

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

const benchCommand = "AT+CSIM=10,\"8084000020\"\r"

func BenchmarkCSIM(b *testing.B) {
	m := New(static{}, Personality{})
	command := []byte(benchCommand)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Input(b.Context(), command); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCSIMOverTheTerminal(b *testing.B) {
	link := filepath.Join(b.TempDir(), "tty")
	ctx, cancel := context.WithCancel(b.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- Run(ctx, link, static{}, Personality{}, func(string) { close(ready) }) }()
	<-ready
	f, err := os.OpenFile(link, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		b.Fatal(err)
	}
	lines, command := bufio.NewReader(f), []byte(benchCommand)
	for b.Loop() {
		if _, err := f.Write(command); err != nil {
			b.Fatal(err)
		}
		for range 4 { // the answer, OK, and an empty line before each
			if _, err := lines.ReadSlice('\n'); err != nil {
				b.Fatal(err)
			}
		}
	}
	_ = f.Close()
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}

// static is a card that answers everything with 32 bytes.
type static struct{}

func (static) Transmit(context.Context, []byte) ([]byte, error) {
	return append(make([]byte, 32, 34), 0x90, 0x00), nil
}
func (static) Reset() {}
