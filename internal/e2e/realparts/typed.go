//go:build linux

package realparts

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Typed is a program with a keyboard.
type Typed struct {
	*Process
	Stdin *os.File
}

// StartTyped is [Start] for a program whose input is held open.
func StartTyped(t testing.TB, name string, args ...string) *Typed {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	t.Cleanup(func() { write.Close() })
	cmd := exec.Command(name, args...)
	cmd.Stdin = read
	return &Typed{StartCmd(t, cmd), write}
}

// Says types into the program, and waits until it has read that: OpenSSL takes for a command only
// what it reads alone.
func (p *Typed) Says(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.Stdin, text); err != nil {
		p.t.Fatal(err)
	}
	WaitFor(p.t, "the program to read its input", func() bool {
		unread, err := unix.IoctlGetInt(int(p.Stdin.Fd()), unix.TIOCINQ)
		return err == nil && unread == 0
	})
}

// Megabyte is text in lines of 64 bytes, none of which begins with a letter that the programs
// take for a command.
func Megabyte() string {
	var b strings.Builder
	for i := 0; b.Len() < 1<<20; i++ {
		fmt.Fprintf(&b, "%08d 0123456789 abcdefghijklmnopqrstuvwxyz 0123456789 01234\n", i)
	}
	return b.String()
}

// Exchange has a megabyte go both ways between a connection and the program, which shows what it
// receives and sends what it is told.
func (p *Typed) Exchange(c io.ReadWriter) {
	p.t.Helper()
	p.ExchangeText(c, Megabyte())
}

// ExchangeText is Exchange of another text than [Megabyte].
func (p *Typed) ExchangeText(c io.ReadWriter, data string) {
	p.t.Helper()
	if _, err := io.WriteString(c, data); err != nil {
		p.t.Fatal(err)
	}
	WaitFor(p.t, "the text at the program", func() bool { return strings.Contains(p.Output(), data[len(data)-128:]) })
	if !strings.Contains(p.Output(), data) {
		p.t.Error("something else arrived at the program")
	}
	go io.WriteString(p.Stdin, data) //nolint:errcheck // the reader will tell
	got := make([]byte, len(data))
	if _, err := io.ReadFull(c, got); err != nil {
		p.t.Fatal(err)
	}
	if string(got) != data {
		p.t.Error("something else came from the program")
	}
}
