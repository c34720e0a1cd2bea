package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"github.com/simroot/simroot/internal/platform/store"
)

// Anchors are the root certificates that SIMs are to hold. Each of two places on a SIM holds one or
// none: a root that follows another comes into the other place, so that the one before
// stays untouched until it is of no use any more.
type Anchors struct {
	Set    string // names what is in the places
	Places [2]*x509.Certificate
}

// place is where the root of a CA goes: by turns into the one place and the other.
func place(number int) int { return (number - 1) % 2 }

// AnchorSet is the [Anchors.Set] that SIMs are to hold while the line of CAs has these rows.
func AnchorSet(rows []store.CA) string {
	var places [2][]byte
	for _, row := range rows {
		if row.State.InLine() {
			places[place(row.Number)] = row.Root
		}
	}
	h := sha256.New()
	for i, root := range places {
		h.Write([]byte{byte(i)})
		h.Write(root)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// OnSIM are the roots of the CAs that count.
func (c *CA) OnSIM() Anchors {
	l := c.line.Load()
	a := Anchors{Set: AnchorSet(l.rows)}
	for _, g := range l.all() {
		a.Places[place(g.number)] = g.root
	}
	return a
}
