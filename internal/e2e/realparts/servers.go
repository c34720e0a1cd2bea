//go:build linux

package realparts

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// FreePort returns a loopback TCP port that nobody uses.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// FreeAddress returns a loopback TCP address that nobody listens on, for programs that cannot tell
// which port they took.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", FreePort(t))
}

// FreePorts returns the first of two UDP ports in a row that nobody uses: libcoap takes the second for DTLS.
func FreePorts(t testing.TB) int {
	t.Helper()
	for range 100 {
		first, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := first.LocalAddr().(*net.UDPAddr).Port
		second, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port+1))
		first.Close()
		if err == nil {
			second.Close()
			return port
		}
	}
	t.Fatal("no two free ports in a row")
	return 0
}

// WaitListening waits until a program takes connections at a TCP address.
func WaitListening(t testing.TB, address string) {
	t.Helper()
	WaitFor(t, "somebody to listen on "+address, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// Mosquitto starts a broker and returns its address. conf is what follows the listener
// line of its configuration: cafile, certfile, require_certificate and so on.
func Mosquitto(t testing.TB, conf string) (addr string, p *Process) {
	t.Helper()
	port := FreePort(t)
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	// As root, so that it may read the test's files.
	text := fmt.Sprintf("user root\nlog_dest stderr\nlog_type all\nlistener %d 127.0.0.1\n%s\n", port, conf)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p = Start(t, "mosquitto", "-c", file)
	p.WaitLog(`mosquitto version \S+ running`)
	return fmt.Sprintf("127.0.0.1:%d", port), p
}

// OpenSSLServer starts openssl s_server with args and returns its address.
func OpenSSLServer(t testing.TB, args ...string) (addr string, p *Process) {
	t.Helper()
	cmd := exec.Command("openssl", append([]string{"s_server", "-accept", "127.0.0.1:0"}, args...)...)
	// At the end of its input s_server would hang up on its client.
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	p = StartCmd(t, cmd)
	return p.WaitLog(`ACCEPT (\S+:\d+)`)[1], p
}
