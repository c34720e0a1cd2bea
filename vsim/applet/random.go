package applet

import (
	"crypto/rand"

	"github.com/simroot/simroot/apdu"
)

// getRandom is GET RANDOM: as many bytes as Le says, 1 to 256.
func (a *Applet) getRandom(c apdu.Command) apdu.Response {
	switch {
	case c.P1 != 0 || c.P2 != 0:
		return refuse(apdu.WrongP1P2)
	case len(c.Data) > 0 || c.Le < 1 || c.Le > apdu.MaxLe:
		return refuse(apdu.WrongLength)
	}
	b := make([]byte, c.Le)
	rand.Read(b)
	return answer(b)
}
