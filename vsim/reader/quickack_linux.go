package reader

import (
	"net"

	"golang.org/x/sys/unix"
)

// quickAck makes the kernel acknowledge at once what comes next. The driver sends a
// message in two pieces and waits for the acknowledgement of the first, which otherwise
// takes 40 ms. The option wears off and has to be set again and again.
func quickAck(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}
