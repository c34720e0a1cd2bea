package appserver

import (
	"net"
	"sync"
)

// Session is a SIM's session on a server of somebody else's, such as a broker, of which this
// process sees no connection; see [Middleware.Track].
type Session struct {
	conn Conn
	end  func(reason error)

	mu      sync.Mutex
	tracked bool // Track has returned it
	ended   bool
}

// Track is [Middleware.Enlist] for what is no connection of this process, and may have begun long ago: end is
// called, once and with the reason, as soon as a live connection with the given fingerprint's credential
// would be closed. It must return at once: the replica waits for it. Track fails, and end is never called, if
// that is so now; whether a new session may begin is for [Middleware.Lookup] to say. A
// session that has ended by itself is to be forgotten by [Session.Forget].
func (m *Middleware) Track(print Fingerprint, end func(reason error)) (*Session, error) {
	s := &Session{end: end}
	s.conn.Conn, s.conn.print = &elsewhere{s: s}, print
	s.conn.who, _ = m.holder(print)
	if reason := m.cutReason(print); reason != nil {
		return nil, refused(s.conn.Identity(), reason)
	}
	m.live.add(&s.conn) // and then look again: see enlist
	if reason := m.cutReason(print); reason != nil {
		s.conn.cutOff(reason)
		return nil, refused(s.conn.Identity(), reason)
	}
	s.mu.Lock()
	s.tracked = true
	s.mu.Unlock()
	s.finish() // it may have been cut off since
	return s, nil
}

// Identity is whose session it is.
func (s *Session) Identity() Identity { return s.conn.Identity() }

// Forget stops watching a session that has ended. It may still be told of an end that is under way.
func (s *Session) Forget() { s.conn.home.remove(&s.conn) }

// finish tells of the end, if there was one and whoever tracks knows of the session.
func (s *Session) finish() {
	s.mu.Lock()
	reason := s.conn.Cause()
	now := reason != nil && s.tracked && !s.ended
	s.ended = s.ended || now
	s.mu.Unlock()
	if now {
		s.end(reason)
	}
}

// elsewhere is a session in the place of a connection, of which the registry only wants the end.
type elsewhere struct {
	net.Conn // none
	s        *Session
}

// Close is what the registry does to end it.
func (e *elsewhere) Close() error {
	e.s.finish()
	return nil
}
