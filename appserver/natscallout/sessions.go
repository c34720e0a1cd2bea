package natscallout

import (
	"sync"

	"github.com/simroot/simroot/appserver"
)

// session names a connection in a cluster of NATS.
type session struct {
	server string
	client uint64
}

// sessions are those of SIMs.
type sessions struct {
	m    *appserver.Middleware
	wake chan struct{} // there are some to be ended

	mu      sync.Mutex
	tracked map[session]tracked
	ending  map[session]error // to be ended, and why
}

// tracked is a session, and with which credential it came.
type tracked struct {
	*appserver.Session
	print appserver.Fingerprint
}

func newSessions(m *appserver.Middleware) *sessions {
	return &sessions{m: m, wake: make(chan struct{}, 1), tracked: make(map[session]tracked), ending: make(map[session]error)}
}

// begin tracks a session.
func (s *sessions) begin(name session, print appserver.Fingerprint) error {
	one, err := s.m.Track(print, func(reason error) { s.end(name, reason) })
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old, ok := s.tracked[name]; ok {
		old.Forget()
	}
	s.tracked[name] = tracked{one, print}
	return nil
}

// end has a session ended.
func (s *sessions) end(name session, reason error) {
	s.mu.Lock()
	s.ending[name] = reason
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// ended forgets a session.
func (s *sessions) ended(name session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one, ok := s.tracked[name]; ok {
		one.Forget()
	}
	delete(s.tracked, name)
	delete(s.ending, name)
}

// known is the credential of a session that is tracked, and zero for any other.
func (s *sessions) known(name session) appserver.Fingerprint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tracked[name].print
}

// all are the sessions that are tracked.
func (s *sessions) all() map[session]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[session]bool, len(s.tracked))
	for name := range s.tracked {
		all[name] = true
	}
	return all
}

// due are the sessions to be ended, with the reasons.
func (s *sessions) due() map[session]error {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := make(map[session]error, len(s.ending))
	for name, reason := range s.ending {
		due[name] = reason
	}
	return due
}
