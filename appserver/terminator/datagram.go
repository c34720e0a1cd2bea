package terminator

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/simroot/simroot/appserver"
)

const (
	// longest is the length in bytes of the longest datagram that DTLS carries (RFC 6347, 4.1.1).
	longest = 1 << 14
	// lastWords is how long a session must have been quiet to end when the terminator is told to stop: a
	// request has its answer by then.
	lastWords = time.Second
	// refusals is how many datagrams in a row the machine of the server behind refuses, in a session, before the
	// device is told by the end of it. A client of CoAP is then at its second repetition, some seconds
	// after its request: a server that was only started anew keeps its sessions.
	refusals = 3
)

// carryDatagrams forwards the datagrams of a session, from a socket of its own, to which answers come back.
func (p *port) carryDatagrams(stopping, living context.Context, conn *appserver.Conn) {
	leave, ok := p.limit.enter(conn.RemoteAddr())
	if !ok {
		return
	}
	defer leave()
	leaveSIM, ok := p.limit.enterSIM(conn.Identity().ICCID)
	if !ok {
		return
	}
	defer leaveSIM()
	dialing, cancel := context.WithTimeout(stopping, p.DialTimeout)
	defer cancel()
	server, err := p.backend.dial(dialing, "udp")
	if err != nil {
		return
	}
	end := func() {
		conn.Close()
		server.Close()
	}
	defer end()
	defer context.AfterFunc(living, end)()
	quiet := newSilence(p.Idle, end)
	defer quiet.stop()
	defer context.AfterFunc(stopping, func() { quiet.tighten(min(lastWords, p.Idle)) })()
	s := &session{port: p, conn: conn, server: server, quiet: quiet}
	p.log.Debug("session", "iccid", conn.Identity().ICCID, "peer", conn.RemoteAddr())

	var down sync.WaitGroup
	down.Go(func() {
		s.down()
		end()
	})
	s.up()
	end()
	down.Wait()
}

// session is one of datagrams.
type session struct {
	*port
	conn   *appserver.Conn
	server net.Conn
	quiet  *silence

	mu      sync.Mutex
	refused int // datagrams since the last answer
	tooLong sync.Once
}

// up takes datagrams to the server behind.
func (s *session) up() {
	var header []byte
	if s.way.Tell != Nothing {
		header = proxyHeader(s.conn, true)
	}
	buf := make([]byte, len(header)+longest)
	copy(buf, header)
	for {
		n, err := s.conn.Read(buf[len(header):])
		if err != nil {
			return
		}
		s.quiet.move()
		if _, err := s.server.Write(buf[:len(header)+n]); err != nil && s.over(err) {
			return
		}
		if s.way.Tell == ProxyFirst {
			header, buf = nil, buf[len(header):]
		}
	}
}

// down takes the answers back.
func (s *session) down() {
	buf := make([]byte, longest+1)
	for {
		n, err := s.server.Read(buf)
		if err != nil {
			if s.over(err) {
				return
			}
			continue
		}
		s.answered()
		s.quiet.move()
		if _, err := s.conn.Write(buf[:n]); err != nil {
			if s.conn.Cause() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			s.tooLong.Do(func() {
				s.log.Warn("a datagram to a device is lost", "iccid", s.conn.Identity().ICCID, "bytes", n, "error", err)
			})
		}
	}
}

// answered notes that the server behind lives.
func (s *session) answered() {
	s.mu.Lock()
	s.refused = 0
	s.mu.Unlock()
	s.backend.here()
}

// over tells whether an error of the socket towards the server is the end of the session.
func (s *session) over(err error) bool {
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return true
	}
	s.mu.Lock()
	s.refused++
	over := s.refused >= refusals
	s.mu.Unlock()
	s.backend.away(err)
	return over
}
