package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
)

// P1 of INIT and UPDATE.
const (
	p1Open  byte = 0x00
	p1Close byte = 0x01
	p1More  byte = 0x00
	p1Last  byte = 0x80
)

// sessionID names a session: each channel and each pair of instructions has its own
// numbers.
type sessionID struct {
	channel int
	init    byte // instruction of INIT
	number  byte
}

// session is what an INIT has opened: UPDATEs give it data.
type session struct {
	key  perso.Ref // its kind is 0 if the session uses no key
	task task

	// stale tells that the key is not any more the one with which the session began.
	stale bool
}

// task is what a session does.
type task interface {
	// update takes the data of one UPDATE; the answer to the last (P1 bit 80) is the
	// session's result. Anything but 9000 ends the session.
	update(a *Applet, c apdu.Command, last bool) apdu.Response
}

// preparation is what INIT's parameters come to: the object that the session uses, if
// any, and the task.
type preparation struct {
	key  target
	task task
}

// initSession is INIT: it opens a session, which ends one with the same number, or closes
// it, which is harmless if there is none. prepare reads the parameters; what it refuses
// with a key in hand is a refusal of that key.
func (a *Applet) initSession(ch int, c apdu.Command, prepare func(data []byte) (preparation, apdu.SW)) apdu.Response {
	id := sessionID{ch, c.INS, c.P2}
	switch c.P1 {
	case p1Close:
		delete(a.sessions, id)
		return refuse(apdu.OK)
	case p1Open:
		delete(a.sessions, id)
	default:
		return refuse(apdu.WrongP1P2)
	}
	p, sw := prepare(c.Data)
	open := func() apdu.Response {
		switch {
		case sw != apdu.OK:
			return refuse(sw)
		case len(a.sessions) >= MaxSessions:
			return refuse(apdu.RemoteAdminTouched)
		}
		a.sessions[id] = &session{key: p.key.ref, task: p.task}
		return refuse(apdu.OK)
	}
	if p.key.ref.Kind == 0 {
		return open()
	}
	return a.administered(ch, open, p.key.ref)
}

// updateSession is UPDATE for the INIT with the given instruction. The session goes on
// only if everything was well and more is to come.
func (a *Applet) updateSession(ch int, init byte, c apdu.Command) apdu.Response {
	id := sessionID{ch, init, c.P2}
	s := a.sessions[id]
	if s == nil {
		return refuse(apdu.ConditionsNot)
	}
	delete(a.sessions, id)
	update := func() apdu.Response {
		switch {
		case c.P1 != p1More && c.P1 != p1Last:
			return refuse(apdu.WrongP1P2)
		case s.stale:
			return refuse(apdu.ConditionsNot)
		}
		r := s.task.update(a, c, c.P1 == p1Last)
		if r.SW == apdu.OK && c.P1 == p1More {
			a.sessions[id] = s
		}
		return r
	}
	if s.key.Kind == 0 {
		return update()
	}
	return a.administered(ch, update, s.key)
}

// inSession tells whether a session uses one of the keys.
func (a *Applet) inSession(keys ...perso.Ref) bool {
	for _, s := range a.sessions {
		for _, key := range keys {
			if s.key == key {
				return true
			}
		}
	}
	return false
}

// staleSessions makes the sessions fail that use a key which is there no more.
func (a *Applet) staleSessions(touched func(perso.Ref) bool) {
	for _, s := range a.sessions {
		s.stale = s.stale || touched(s.key)
	}
}

// usable finds the container that a session named, as long as it may be used.
func (a *Applet) usable(kind iotsafe.Kind, id iotsafe.ID) *Container {
	c := a.state.find(perso.Ref{Kind: kind, ID: id})
	if c == nil || !c.Object.Active || !c.filled() {
		return nil
	}
	return c
}
