package domain

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/gp/scp03"
)

// initializeUpdate is INITIALIZE UPDATE (Amendment D, 7.1.1). Any session ends, on
// whichever channel it is.
func (d *Domain) initializeUpdate(ch int, c apdu.Command) apdu.Response {
	d.endSession()
	switch {
	case len(c.Data) != 8:
		return refuse(apdu.WrongLength)
	case c.P1 != 0 && c.P1 != d.state.KeyVersion:
		return refuse(apdu.ReferenceNotFound)
	case c.P2 != 0:
		return refuse(apdu.WrongP1P2)
	case d.state.Blocked():
		return refuse(apdu.Blocked)
	case d.state.SequenceCounter >= scp03.MaxSequenceCounter:
		return refuse(apdu.ConditionsNot)
	}
	next := d.state
	next.SequenceCounter++
	if !d.store(next) {
		return refuse(apdu.MemoryFailure)
	}
	id := scp03.Identity{Diversification: d.iccid, KeyVersion: d.state.KeyVersion, AID: d.state.AID}
	session, answer, err := scp03.NewCard(d.state.Keys, id, d.state.SequenceCounter, [8]byte(c.Data))
	if err != nil { // the state was checked when it was read
		return refuse(apdu.Unknown)
	}
	d.session, d.channel = session, ch
	return apdu.Response{Data: answer, SW: apdu.OK}
}

// externalAuthenticate is EXTERNAL AUTHENTICATE (Amendment D, 7.1.2). What it learns
// about the host's keys is on disk before the answer leaves.
func (d *Domain) externalAuthenticate(c apdu.Command) apdu.Response {
	sw := d.session.Authenticate(c)
	next := d.state
	switch sw {
	case apdu.OK:
		next.Failed = 0
	case apdu.AuthenticationFailed, apdu.SecurityNotSatisfied:
		next.Failed++
	}
	if sw != apdu.OK {
		d.endSession()
	}
	if next.Failed != d.state.Failed && !d.store(next) {
		d.endSession()
		return refuse(apdu.MemoryFailure)
	}
	return refuse(sw)
}

// store makes a state durable and then the domain's own.
func (d *Domain) store(next State) bool {
	if d.commit(next) != nil {
		return false
	}
	d.state = next
	return true
}
