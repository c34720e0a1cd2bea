package terminator

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"

	"github.com/simroot/simroot/appserver"
)

// stream is either side of what is forwarded over TCP.
type stream interface {
	io.ReadWriter
	CloseWrite() error
}

// carryStream forwards a stream. The end of one direction is passed on, and the other goes on. Where
// something breaks the server behind sees a reset, and cannot take what it got for all there was.
func (p *port) carryStream(stopping, living context.Context, conn *appserver.Conn) {
	if !p.welcome(conn) {
		return
	}
	device := conn.NetConn().(stream) // as crypto/tls and psktls have it
	dialing, cancel := context.WithTimeout(stopping, p.DialTimeout)
	defer cancel()
	dialed, err := p.backend.dial(dialing, "tcp")
	if err != nil {
		return
	}
	server := dialed.(*net.TCPConn)
	defer server.Close()
	end := sync.OnceFunc(func() {
		reset(server)
		conn.Close()
	})
	forget, err := p.track(conn, end)
	if err != nil { // it was cut off meanwhile
		return
	}
	defer forget()
	defer context.AfterFunc(living, end)()
	quiet := newSilence(0, end)
	defer quiet.stop()

	if p.way.Tell == ProxyV2 {
		if _, err := server.Write(proxyHeader(conn, false)); err != nil {
			return
		}
	}
	p.log.Debug("connected", "iccid", conn.Identity().ICCID, "peer", conn.RemoteAddr())
	results := make(chan error, 2)
	go func() { results <- pass(server, complete{conn, under(conn)}, quiet) }()
	go func() { results <- pass(sending{conn, device}, server, quiet) }()
	for range 2 {
		if err := <-results; err != nil {
			p.log.Debug("a connection broke", "iccid", conn.Identity().ICCID, "error", err)
			end()
		} else {
			quiet.tighten(p.HalfClosed)
		}
	}
}

// complete is a device's side as it is read from: a line that ends without a close_notify may have been cut by
// anybody, and is not the end of what the device had to say. To crypto/tls it is.
type complete struct {
	*appserver.Conn
	line *accepted
}

// Read reads from the device.
func (c complete) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == io.EOF && c.line.ended.Load() {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// sending is the device's side as it is written to: what is no part of an [appserver.Conn], the end of one
// direction, is the TLS library's.
type sending struct {
	*appserver.Conn
	under stream
}

// CloseWrite tells the device that nothing more comes.
func (s sending) CloseWrite() error { return s.under.CloseWrite() }

// The length of what is read at once: little, for most connections are many and say little, and more for
// those that fill it.
const leastRead, mostRead = 2 << 10, 32 << 10

// pass copies until the end of from, which it passes on.
func pass(to interface {
	io.Writer
	CloseWrite() error
}, from io.Reader, quiet *silence) error {
	buf := make([]byte, leastRead)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			quiet.move()
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			quiet.move()
		}
		switch {
		case err == io.EOF:
			if err = to.CloseWrite(); gone(err) {
				return nil
			}
			return err
		case err != nil:
			return err
		case n == len(buf) && n < mostRead:
			buf = make([]byte, 4*n)
		}
	}
}

// gone tells that a peer has ended by itself already.
func gone(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.EPIPE)
}
