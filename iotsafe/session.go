package iotsafe

import (
	"context"

	"github.com/simroot/simroot/apdu"
)

// Parameters of the commands that form sessions.
const (
	closeSession = 0x01 // P1 of INIT
	moreUpdates  = 0x00 // P1 of UPDATE
	lastUpdate   = 0x80 // P1 of UPDATE
)

// service is a pair of commands that form a session: INIT opens it, UPDATE gives it data
// and, with the last, gets its answer.
type service struct {
	init, update byte

	// number is the session number (P2). The channel is ours alone, and so is its space
	// of numbers; signing has one of its own because an issuer in the field advises it.
	number byte

	answers bool // the last UPDATE returns data
}

// session is what tells a session from others: each INIT has a space of numbers of its own.
func (s service) session() [2]byte { return [2]byte{s.init, s.number} }

// The services of IoT.05, and simroot's own.
var (
	signSession    = service{0x2A, 0x2B, 0x01, true}
	verifySession  = service{0x2C, 0x2D, 0x02, false}
	putKeySession  = service{0x24, 0xD8, 0x02, false}
	hashSession    = service{0x5A, 0x5B, 0x02, true}
	encryptSession = service{0x5C, 0x5D, 0x02, true}
	decryptSession = service{0x5E, 0x5F, 0x02, true}
)

// session is INIT with the given parameters, and as many UPDATEs as the data takes. The
// session ends with the last of them; if something goes wrong it is closed. For those who
// hold the turn.
//
// A card may have been out of reach when its session was to be closed. What it has left of
// it is closed before the next begins: some cards refuse a session that is in use.
func (a *Applet) session(ctx context.Context, what Error, s service, parameters []byte, data ...[]byte) ([]byte, error) {
	if a.abandoned[s.session()] {
		a.endSession(ctx, s)
	}
	answer, err := a.updates(ctx, what, s, parameters, data)
	if err != nil {
		a.endSession(ctx, s)
	}
	return answer, err
}

// updates sends each part of data from the beginning of a command on, since cards that
// join commands in the middle of a field are not known.
func (a *Applet) updates(ctx context.Context, what Error, s service, parameters []byte, data [][]byte) ([]byte, error) {
	if _, err := a.do(ctx, what, apdu.Command{INS: s.init, P2: s.number, Data: parameters}); err != nil {
		return nil, err
	}
	for i, part := range data {
		for {
			c := apdu.Command{INS: s.update, P1: moreUpdates, P2: s.number, Data: part[:min(len(part), apdu.MaxData)]}
			part = part[len(c.Data):]
			last := len(part) == 0 && i == len(data)-1
			if last {
				c.P1 = lastUpdate
				if s.answers {
					c.Le = apdu.MaxLe
				}
			}
			answer, err := a.do(ctx, what, c)
			if err != nil || last {
				return answer, err
			}
			if len(part) == 0 {
				break
			}
		}
	}
	return nil, nil
}

// endSession closes a session after a failure, even if ctx has ended. What the card says
// to it does not matter: there may be no session.
func (a *Applet) endSession(ctx context.Context, s service) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	_, err := a.send(ctx, apdu.Command{INS: s.init, P1: closeSession, P2: s.number})
	if err == nil {
		delete(a.abandoned, s.session())
		return
	}
	if a.abandoned == nil {
		a.abandoned = map[[2]byte]bool{}
	}
	a.abandoned[s.session()] = true
}
