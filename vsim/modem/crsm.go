package modem

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

func init() {
	register(map[string]command{"+CRSM": {run: restrictedAccess}})
}

// Commands of +CRSM: the instruction bytes of the card, in decimal on the line
// (3GPP TS 27.007, 8.18).
const (
	readBinary   = 176
	readRecord   = 178
	getResponse  = 192 // the file's control parameters
	updateBinary = 214
	updateRecord = 220
	status       = 242
)

// fileCommand is one AT+CRSM.
type fileCommand struct {
	ins        byte
	p1, p2, p3 int
	file       int    // its identifier; -1: none given
	path       []byte // of its directory, from the MF or 7FFF
	data       []byte
}

// restrictedAccess is AT+CRSM: one command on one file, which the modem selects. What the
// card answers, refusals included, is the answer.
func restrictedAccess(m *Modem, ctx context.Context, c call) (string, error) {
	f, err := c.fileCommand()
	if err != nil {
		return "", err
	}
	if err := m.ready(); err != nil {
		return "", err
	}
	var answer apdu.Response
	err = m.aside(ctx, func(ch int) (err error) {
		answer, err = f.run(ctx, m.card, ch)
		return err
	})
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("+CRSM: %d,%d", byte(answer.SW>>8), byte(answer.SW))
	if len(answer.Data) > 0 {
		text += "," + m.quoted(answer.Data)
	}
	return text, nil
}

// fileCommand reads the arguments of +CRSM.
func (c call) fileCommand() (fileCommand, error) {
	if c.form != set || len(c.args) > 7 {
		return fileCommand{}, wrongArgument
	}
	ins, err := c.number(0, 0xFF, required)
	if err != nil {
		return fileCommand{}, err
	}
	f := fileCommand{ins: byte(ins), file: -1}
	switch ins {
	case readBinary, readRecord, updateBinary, updateRecord, getResponse:
		if f.file, err = c.number(1, 0xFFFF, required); err != nil {
			return fileCommand{}, err
		}
	case status:
		if c.arg(1) != "" {
			if f.file, err = c.number(1, 0xFFFF, required); err != nil {
				return fileCommand{}, err
			}
		}
	default:
		return fileCommand{}, notSupported
	}
	for i, p := range []*int{&f.p1, &f.p2, &f.p3} {
		if *p, err = c.number(2+i, 0xFF, 0); err != nil {
			return fileCommand{}, err
		}
	}
	var bad error
	if f.data, err = hex.DecodeString(c.arg(5)); err != nil {
		bad = wrongArgument
	}
	if f.path, err = hex.DecodeString(c.arg(6)); err != nil || len(f.path)%2 != 0 || len(f.path) > 16 {
		bad = wrongArgument
	}
	if f.updates() != (len(f.data) > 0) || f.updates() && f.p3 != len(f.data) {
		bad = wrongArgument
	}
	return f, bad
}

func (f fileCommand) updates() bool { return f.ins == updateBinary || f.ins == updateRecord }

// run carries the command out on channel ch.
func (f fileCommand) run(ctx context.Context, c card.Card, ch int) (apdu.Response, error) {
	r, err := f.selectFile(ctx, c, ch)
	if err != nil || !r.SW.Succeeded() {
		return apdu.Response{SW: r.SW}, err
	}
	command := apdu.Command{CLA: apdu.OnChannel(0, ch), INS: f.ins, P1: byte(f.p1), P2: byte(f.p2)}
	switch {
	case f.ins == getResponse: // SELECT has brought them
		if f.p3 > 0 {
			r.Data = r.Data[:min(f.p3, len(r.Data))]
		}
		return r, nil
	case f.ins == status:
		command.CLA = apdu.OnChannel(0x80, ch)
		fallthrough
	case !f.updates():
		command.Le = f.p3
		if f.p3 == 0 {
			command.Le = apdu.MaxLe
		}
	default:
		command.Data = f.data
	}
	return card.Exchange(ctx, c, command)
}

// masterFile and currentApplication begin a path (ETSI TS 102 221, 8.3).
const (
	masterFile         = 0x3F00
	currentApplication = 0x7FFF
)

// selectFile selects the file and returns its control parameters. A path that begins with
// 7FFF leads through the USIM.
func (f fileCommand) selectFile(ctx context.Context, c card.Card, ch int) (apdu.Response, error) {
	const fromMF, fromDF, withParameters = 0x08, 0x09, 0x04
	cla := apdu.OnChannel(0, ch)
	path, p1 := f.path, byte(fromMF)
	if begins(path, currentApplication) {
		r, err := card.Exchange(ctx, c, apdu.Command{CLA: cla, INS: 0xA4, P1: 0x04, P2: withParameters, Data: usim, Le: apdu.MaxLe})
		if err != nil || !r.SW.Succeeded() {
			return r, err
		}
		path, p1 = path[2:], fromDF
		if len(path) == 0 && f.file < 0 {
			return r, nil
		}
	}
	if begins(path, masterFile) {
		path = path[2:]
	}
	path = append([]byte(nil), path...)
	if f.file >= 0 && (f.file != masterFile || len(path) > 0) {
		path = append(path, byte(f.file>>8), byte(f.file))
	}
	if len(path) == 0 {
		return card.Exchange(ctx, c, apdu.Command{CLA: cla, INS: 0xA4, P2: withParameters, Data: []byte{masterFile >> 8, masterFile & 0xFF}, Le: apdu.MaxLe})
	}
	return card.Exchange(ctx, c, apdu.Command{CLA: cla, INS: 0xA4, P1: p1, P2: withParameters, Data: path, Le: apdu.MaxLe})
}

func begins(path []byte, id int) bool {
	return len(path) >= 2 && int(path[0])<<8|int(path[1]) == id
}
