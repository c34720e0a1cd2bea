package ca

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
)

// Anchors are the root certificates that SIMs are to hold. Each of two places on a SIM holds one or
// none: a root that follows another comes into the other place, so that the one before
// stays untouched until it is of no use any more.
type Anchors struct {
	Set    string // names what is in the places
	Places [2]*x509.Certificate
}

func anchorsOf(places [2]*x509.Certificate) Anchors {
	h := sha256.New()
	for i, root := range places {
		h.Write([]byte{byte(i)})
		if root != nil {
			h.Write(root.Raw)
		}
	}
	return Anchors{hex.EncodeToString(h.Sum(nil)[:8]), places}
}

// OnSIM are the roots of the generations that count, by turns in the one place and the other.
func (c *CA) OnSIM() Anchors {
	var places [2]*x509.Certificate
	for _, g := range c.line.Load().all() {
		places[(g.number-1)%2] = g.root
	}
	return anchorsOf(places)
}
