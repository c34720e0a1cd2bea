package dtls_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/simroot/simroot/psktls"
	"github.com/simroot/simroot/psktls/dtls"
)

// line is one end of a line in memory: a socket with one peer. It loses what lose says.
type line struct {
	in, out chan []byte
	closed  chan struct{}
	lose    func() bool
}

func newLine(lose func() bool) (client, server *line) {
	a, b := make(chan []byte, 64), make(chan []byte, 64)
	never := func() bool { return false }
	return &line{a, b, make(chan struct{}), lose}, &line{b, a, make(chan struct{}), never}
}

func (l *line) Read(b []byte) (int, error) {
	select {
	case d := <-l.in:
		return copy(b, d), nil
	case <-l.closed:
		return 0, net.ErrClosed
	}
}

func (l *line) Write(b []byte) (int, error) {
	if !l.lose() {
		l.out <- append([]byte(nil), b...)
	}
	return len(b), nil
}

func (l *line) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := l.Read(b)
	return n, l.RemoteAddr(), err
}

func (l *line) WriteTo(b []byte, _ net.Addr) (int, error) { return l.Write(b) }

func (l *line) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *line) LocalAddr() net.Addr              { return &net.UDPAddr{Port: 1} }
func (l *line) RemoteAddr() net.Addr             { return &net.UDPAddr{Port: 1} }
func (l *line) SetDeadline(time.Time) error      { return nil }
func (l *line) SetReadDeadline(time.Time) error  { return nil }
func (l *line) SetWriteDeadline(time.Time) error { return nil }

func TestAHandshakeOutlivesLostDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := 0
		near, far := newLine(func() bool { lost++; return lost <= 2 })
		l, err := dtls.Listen(far, serverConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := dtls.Client(near, clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begin := time.Now()
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 3*time.Second { // one, then two
			t.Errorf("it took %v", took)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		says(t, c, s, "hello")
	})
}

func TestAHandshakeThatNobodyAnswersEndsAfterTwoMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, _ := newLine(func() bool { return true })
		c, err := dtls.Client(near, clientConfig())
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, psktls.ErrDTLSTimeout) {
			t.Error(err)
		}
		if took := time.Since(begin); took != 123*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
