package uicc

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/card"
)

// ATRs are the answers to reset that a card may give, by profile name (ISO/IEC 7816-3,
// 8.2; ETSI TS 102 221, 6.3), with clock stop, all voltages, and the historical bytes
// 80 31 E0 73 FE 21 and "WVUICC01". Each offers one protocol only: readers stumble over both at
// once.
var ATRs = map[string][]byte{
	"uicc":    unhex("3B9F96801FC78031E073FE21135756554943433031A3"),       // T=0, as SIMs in the field
	"uicc-t1": unhex("3B9F9681B1FE451FC78031E073FE21135756554943433031A8"), // T=1, blocks of 254 bytes
}

// Entry is one line of EF.DIR: an application for all to see.
type Entry struct {
	AID   []byte
	Label string
}

// UICC is the card below its applications. It is not safe for concurrent use.
type UICC struct {
	atr      []byte
	files    fileSystem
	apps     []App
	channels [apdu.MaxChannel + 1]*channel // nil: not open
}

// channel is the state of one logical channel that is open.
type channel struct {
	app     App   // nil: the file system is selected
	file    *file // current elementary file; nil: the MF is current
	pending []byte
	status  apdu.SW // of the answer to which pending belongs
}

// New builds a card from its ICCID, the name of its ATR profile (see [ATRs]), the lines
// of EF.DIR and its applications.
func New(iccid card.ICCID, atr string, directory []Entry, apps ...App) (*UICC, error) {
	if _, err := card.ParseICCID(string(iccid)); err != nil {
		return nil, err
	}
	bytes, found := ATRs[atr]
	if !found {
		return nil, fmt.Errorf("unknown ATR profile %q", atr)
	}
	u := &UICC{atr: bytes, files: newFileSystem(iccid, directory), apps: apps}
	u.Reset()
	return u, nil
}

// ATR is the answer to reset.
func (u *UICC) ATR() []byte { return bytes.Clone(u.atr) }

// Reset is power-up or a reset: only the basic channel is open, with the MF selected.
func (u *UICC) Reset() {
	u.channels = [len(u.channels)]*channel{{}}
	for _, a := range u.apps {
		a.Reset()
	}
}

// Instructions that the card itself knows.
const (
	insManageChannel byte = 0x70
	insSelect        byte = 0xA4
	insReadBinary    byte = 0xB0
	insReadRecord    byte = 0xB2
	insGetResponse   byte = 0xC0
	insStatus        byte = 0xF2
)

// Process answers one command APDU.
func (u *UICC) Process(command []byte) []byte {
	c, err := apdu.Parse(command)
	if err != nil {
		return apdu.Response{SW: apdu.WrongLength}.Bytes()
	}
	if !knownClass(c.CLA) {
		return apdu.Response{SW: apdu.ClassNot}.Bytes()
	}
	n := apdu.ChannelOf(c.CLA)
	if c.INS == insGetResponse {
		return u.channels[n].getResponse(c).Bytes()
	}
	if ch := u.channels[n]; ch != nil {
		ch.pending = nil
	}
	r := u.dispatch(n, c)
	if ch := u.channels[n]; ch != nil { // the command may have opened or closed it
		r = ch.answer(c, r)
	}
	return r.Bytes()
}

// knownClass tells whether a class byte is one of ISO/IEC 7816-4, 5.4.1 without command
// chaining: 0x, 8x (channels 0 to 3) and 4x, 6x, Cx, Ex (channels 4 to 19).
func knownClass(cla byte) bool {
	if cla&0x40 != 0 {
		return cla&0x10 == 0
	}
	return cla&0x70 == 0
}

func interindustry(cla byte) bool { return cla&0x80 == 0 }

func (u *UICC) dispatch(n int, c apdu.Command) apdu.Response {
	ch := u.channels[n]
	if c.INS == insSelect && interindustry(c.CLA) {
		if apdu.Secured(c.CLA) {
			return refuse(apdu.SecureMessagingNot)
		}
		return u.selectAny(n, c)
	}
	if ch == nil {
		return refuse(apdu.ChannelNotSupported)
	}
	if c.INS == insManageChannel && interindustry(c.CLA) {
		if apdu.Secured(c.CLA) {
			return refuse(apdu.SecureMessagingNot)
		}
		return u.manageChannel(n, c)
	}
	if ch.app != nil {
		return ch.app.Process(n, c)
	}
	return u.files.process(ch, c)
}

// answer follows the T=0 rule: without Le, data waits for GET RESPONSE; with Le, it
// leaves at once, at most Le bytes of it. What is over 256 bytes waits in any case.
func (ch *channel) answer(c apdu.Command, r apdu.Response) apdu.Response {
	if len(r.Data) == 0 {
		return r
	}
	if c.Le > 0 && c.Le < len(r.Data) && len(r.Data) <= apdu.MaxLe {
		r.Data = r.Data[:c.Le]
	}
	ch.pending, ch.status = r.Data, r.SW
	return ch.take(c.Le)
}

// getResponse hands out what waits (ISO/IEC 7816-4, 7.6.1); ch is nil if it is not open. Any class of the channel is
// accepted, also a secured one: hosts in the field send all of them.
func (ch *channel) getResponse(c apdu.Command) apdu.Response {
	switch {
	case ch == nil:
		return refuse(apdu.ChannelNotSupported)
	case len(c.Data) > 0:
		return refuse(apdu.WrongLength)
	case c.P1 != 0 || c.P2 != 0:
		return refuse(apdu.WrongP1P2)
	case len(ch.pending) == 0:
		return refuse(apdu.ConditionsNot)
	case c.Le == 0:
		return ch.take(apdu.MaxLe)
	}
	return ch.take(c.Le)
}

// take hands out up to n bytes of what waits. The status word of the command comes with
// the last of them.
func (ch *channel) take(n int) apdu.Response {
	n = min(n, len(ch.pending))
	r := apdu.Response{Data: ch.pending[:n], SW: ch.status}
	ch.pending = ch.pending[n:]
	if left := len(ch.pending); left > 0 {
		r.SW = 0x6100 | apdu.SW(byte(min(left, 256)))
	}
	return r
}

func refuse(sw apdu.SW) apdu.Response { return apdu.Response{SW: sw} }

// unhex reads constants of this package.
func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic("uicc: " + err.Error())
	}
	return b
}
