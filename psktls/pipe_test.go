package psktls

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// pipe is two ends of a connection in memory. Unlike net.Pipe it buffers, as a network does.
func pipe() (a, b *end) {
	x, y := newStream(), newStream()
	return &end{in: x, out: y}, &end{in: y, out: x}
}

type end struct{ in, out *stream }

func (e *end) Read(b []byte) (int, error)       { return e.in.read(b) }
func (e *end) Write(b []byte) (int, error)      { return e.out.write(b) }
func (e *end) Close() error                     { e.in.end(); e.out.end(); return nil }
func (e *end) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (e *end) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (e *end) SetDeadline(time.Time) error      { return nil }
func (e *end) SetReadDeadline(time.Time) error  { return nil }
func (e *end) SetWriteDeadline(time.Time) error { return nil }

type stream struct {
	mu    sync.Mutex
	ready *sync.Cond
	buf   bytes.Buffer
	ended bool
}

func newStream() *stream {
	s := &stream{}
	s.ready = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.buf.Len() == 0 {
		if s.ended {
			return 0, io.EOF
		}
		s.ready.Wait()
	}
	return s.buf.Read(b)
}

func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	s.ready.Broadcast()
	return s.buf.Write(b)
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.ready.Broadcast()
}

// handshakes lays a client and a server over a pipe and lets them do their handshake.
func handshakes(t testing.TB, client, server *Config) (c, s *Conn, clientErr, serverErr error) {
	t.Helper()
	a, b := pipe()
	c, s = Client(a, client), Server(b, server)
	t.Cleanup(func() { a.Close(); b.Close() })
	done := make(chan error, 1)
	go func() {
		err := s.HandshakeContext(t.Context())
		if err != nil {
			b.out.end() // what was written is still delivered
		}
		done <- err
	}()
	clientErr = c.HandshakeContext(t.Context())
	if clientErr != nil {
		a.out.end()
	}
	return c, s, clientErr, <-done
}

// connected is handshakes that must succeed.
func connected(t testing.TB, client, server *Config) (c, s *Conn) {
	t.Helper()
	c, s, clientErr, serverErr := handshakes(t, client, server)
	if clientErr != nil || serverErr != nil {
		t.Fatalf("handshake: client %v, server %v", clientErr, serverErr)
	}
	return c, s
}
