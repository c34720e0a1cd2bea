//go:build linux

package realparts

import (
	"net"
	"os"
	"strings"
	"testing"
)

// VPCD is where the virtual reader that [PCSCD] starts waits for its card.
const VPCD = "127.0.0.1:35963"

// ReaderName is that reader's name.
const ReaderName = "Virtual PCD 00 00"

// PCSCD starts the PC/SC daemon with its virtual reader and waits until both can be
// reached.
func PCSCD(t testing.TB) *Process {
	t.Helper()
	p := Start(t, "pcscd", "--foreground", "--info")
	WaitFor(t, "pcscd's socket", func() bool {
		c, err := net.Dial("unix", "/run/pcscd/pcscd.comm")
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	// Not by connecting to it: whoever connects is the card.
	WaitFor(t, "vpcd listening on "+VPCD, func() bool { return listening(t, ":8C7B") })
	return p
}

// listening tells whether somebody listens on a TCP port, given as ":HEX4".
func listening(t testing.TB, port string) bool {
	t.Helper()
	var tables string
	for _, file := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		table, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		tables += string(table)
	}
	for line := range strings.Lines(tables) {
		// sl local_address rem_address st …; state 0A is LISTEN
		if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], port) && f[3] == "0A" {
			return true
		}
	}
	return false
}
