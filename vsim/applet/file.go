package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// maxFileBlock is the most bytes of a file in one answer: several clients in the field
// break at 256.
const maxFileBlock = 255

// readFile is READ FILE: the content of a file from the offset in P1 P2 on.
func (a *Applet) readFile(ch int, c apdu.Command) apdu.Response {
	t, sw := a.named(iotsafe.File, c.Data)
	if sw != apdu.OK {
		return refuse(sw)
	}
	return a.administered(ch, func() apdu.Response {
		file := t.container
		switch {
		case file == nil:
			return refuse(apdu.NotFound)
		case !file.Object.Active || file.Object.Access&iotsafe.Readable == 0:
			return refuse(apdu.ConditionsNot)
		}
		content := file.readable()
		offset := int(c.P1)<<8 | int(c.P2)
		if offset > len(content) {
			return refuse(apdu.WrongP1P2)
		}
		n := min(len(content)-offset, maxFileBlock)
		if c.Le > 0 {
			n = min(n, c.Le)
		}
		return answer(content[offset : offset+n : offset+n])
	}, t.ref)
}
