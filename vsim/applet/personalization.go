package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/perso"
)

// transaction is a personalisation under way: a copy of the store, and what it has
// touched of it.
type transaction struct {
	state   State
	iccid   [10]byte
	decrypt func([]byte) ([]byte, error)
	touched map[perso.Ref]bool
	next    int // number of the next block
}

// BeginPersonalization starts a transaction on the store; one that is under way is
// aborted. decrypt recovers, without its padding, what the host enciphered under the
// session's key-encryption key.
func (a *Applet) BeginPersonalization(decrypt func([]byte) ([]byte, error)) {
	a.running = &transaction{state: a.state.clone(), iccid: a.iccid, decrypt: decrypt, touched: map[perso.Ref]bool{}}
}

// AbortPersonalization ends the transaction, if one is under way, and leaves the store
// as it was.
func (a *Applet) AbortPersonalization() { a.running = nil }

// StoreData carries out one block of operations on the transaction's copy of the store,
// and answers from that copy. The last block (P1 bit 80) makes the copy durable and puts
// it in the place of the store. Anything but 9000 ends the transaction without effect.
func (a *Applet) StoreData(p1, p2 byte, data []byte) apdu.Response {
	t := a.running
	if t == nil {
		return refuse(apdu.ConditionsNot)
	}
	r := t.block(p1, p2, data)
	last := p1&perso.LastBlock != 0
	if r.SW == apdu.OK && last && len(t.touched) > 0 {
		if sw := a.save(t.state); sw != apdu.OK {
			r = refuse(sw)
		} else {
			a.afterCommit(t.touched)
		}
	}
	if r.SW != apdu.OK || last {
		a.running = nil
	}
	return r
}

// afterCommit tells the device side of what has changed.
func (a *Applet) afterCommit(touched map[perso.Ref]bool) {
	a.leaveNotices(touched)
	clear(a.lists)
	a.staleSessions(func(ref perso.Ref) bool { return touched[ref] })
}

// block carries out one block on the copy.
func (t *transaction) block(p1, p2 byte, data []byte) apdu.Response {
	if p1&^(perso.LastBlock|perso.WantAnswers) != perso.BERTLV || int(p2) != t.next {
		return refuse(apdu.WrongP1P2)
	}
	t.next++
	ops, err := perso.Parse(data)
	if err != nil {
		return refuse(apdu.WrongData)
	}
	var answers []perso.Answer
	for _, op := range ops {
		for _, ref := range op.Touches() {
			t.touched[ref] = true
		}
		a, sw := t.run(op)
		if sw != apdu.OK {
			return refuse(sw)
		}
		if a != nil {
			answers = append(answers, a)
		}
	}
	if p1&perso.WantAnswers == 0 {
		return refuse(apdu.OK)
	}
	encoded, err := perso.EncodeAnswers(answers...)
	if err != nil {
		return refuse(apdu.WrongData) // too much was asked of one block
	}
	return answer(encoded)
}
