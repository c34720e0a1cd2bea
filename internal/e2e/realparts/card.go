//go:build linux

package realparts

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// ATRs for [InsertCard]. pcscd takes the protocol from them.
var (
	ATRT0 = []byte{0x3B, 0x9F, 0x96, 0x80, 0x1F, 0xC7, 0x80, 0x31, 0xE0, 0x73, 0xFE, 0x21, 0x13, 0x57, 0x56, 0x55, 0x49, 0x43, 0x43, 0x30, 0x31, 0xA3}
	ATRT1 = []byte{0x3B, 0x80, 0x01, 0x81}
)

// Card is a card of a few lines in the virtual reader. For anything that has to behave
// like a SIM use the virtual SIM instead.
type Card struct {
	conn net.Conn
	done chan struct{}

	mu       sync.Mutex
	commands [][]byte
}

// InsertCard puts a card into the virtual reader of [PCSCD]. answer gets every command as
// the reader delivers it, and returns data and status word, or nil to take the card out
// instead of answering. The card is taken out at the latest when the test ends.
func InsertCard(t testing.TB, atr []byte, answer func(command []byte) []byte) *Card {
	t.Helper()
	conn, err := net.Dial("tcp", VPCD)
	if err != nil {
		t.Fatalf("insert a card: %v", err)
	}
	c := &Card{conn: conn, done: make(chan struct{})}
	go c.serve(atr, answer)
	t.Cleanup(c.Remove)
	return c
}

// Remove takes the card out. Repeating it does no harm.
func (c *Card) Remove() {
	c.conn.Close()
	<-c.done
}

// Commands are the commands that reached the card so far.
func (c *Card) Commands() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.commands)
}

// serve speaks vpcd's protocol until the connection ends: two bytes of length, then a
// control byte or a command.
func (c *Card) serve(atr []byte, answer func([]byte) []byte) {
	defer close(c.done)
	for {
		var head [2]byte
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return
		}
		c.acknowledge()
		message := make([]byte, binary.BigEndian.Uint16(head[:]))
		if _, err := io.ReadFull(c.conn, message); err != nil {
			return
		}
		c.acknowledge()
		var reply []byte
		switch {
		case len(message) != 1:
			c.mu.Lock()
			c.commands = append(c.commands, message)
			c.mu.Unlock()
			if reply = answer(message); reply == nil {
				c.conn.Close()
				return
			}
		case message[0] == 4:
			reply = atr
		default: // power off, power on, reset: nothing is answered
			continue
		}
		out := binary.BigEndian.AppendUint16(nil, uint16(len(reply)))
		if _, err := c.conn.Write(append(out, reply...)); err != nil {
			return
		}
	}
}

// acknowledge makes the kernel acknowledge at once what was read: vpcd writes length and
// message apart, and would wait 40 ms in between. The kernel forgets it, so it is said
// after every read.
func (c *Card) acknowledge() {
	raw, err := c.conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return
	}
	raw.Control(func(fd uintptr) { //nolint:errcheck // only speed is at stake
		unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) //nolint:errcheck
	})
}
