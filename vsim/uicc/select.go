package uicc

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
)

// Parameters of SELECT (ETSI TS 102 221, 11.1.1).
const (
	byFileID     byte = 0x00
	byName       byte = 0x04
	byPath       byte = 0x08 // from the MF
	byPathFromDF byte = 0x09

	wantTemplate byte = 0x0C // bits of P2
	wantFCP      byte = 0x04
	wantNothing  byte = 0x0C

	minAID, maxAID = 5, 16
)

// selectAny is SELECT received on channel n. One that fails leaves the channel's selection
// as it was (ISO/IEC 7816-4, 7.1.1).
func (u *UICC) selectAny(n int, c apdu.Command) apdu.Response {
	if c.P2&^wantTemplate != 0 || c.P2 == 0x08 { // not the first occurrence, or the rare template FMD
		return refuse(apdu.WrongP1P2)
	}
	if c.P1 == byName {
		return u.selectApp(n, c)
	}
	ch := u.channels[n]
	if ch == nil {
		return refuse(apdu.ChannelNotSupported)
	}
	f, sw := u.files.find(c.P1, c.Data)
	if sw != apdu.OK {
		return refuse(sw)
	}
	if ch.app != nil {
		ch.app.Deselect(n)
	}
	ch.app, ch.file = nil, f
	if c.P2 == wantNothing {
		return refuse(apdu.OK)
	}
	return apdu.Response{Data: fcp(f), SW: apdu.OK}
}

// selectApp selects by AID. On channels 1 to 3 it opens the channel too: some clients
// never send MANAGE CHANNEL.
func (u *UICC) selectApp(n int, c apdu.Command) apdu.Response {
	ch := u.channels[n]
	if ch == nil && n > highestOffered {
		return refuse(apdu.ChannelNotSupported)
	}
	app := u.findApp(c.Data)
	if app == nil {
		return refuse(apdu.NotFound)
	}
	fci, sw := app.Select(n)
	if !sw.Succeeded() {
		return refuse(sw)
	}
	if ch != nil && ch.app != nil && ch.app != app {
		ch.app.Deselect(n)
	}
	u.channels[n] = &channel{app: app}
	if c.P2 == wantNothing {
		fci = nil
	}
	return apdu.Response{Data: fci, SW: sw}
}

// findApp is the application with the given AID, or the only one whose AID begins so.
func (u *UICC) findApp(aid []byte) App {
	if len(aid) < minAID || len(aid) > maxAID {
		return nil
	}
	var found App
	for _, app := range u.apps {
		for _, name := range app.AIDs() {
			if bytes.Equal(name, aid) {
				return app
			}
			if bytes.HasPrefix(name, aid) {
				if found != nil && found != app {
					return nil
				}
				found = app
			}
		}
	}
	return found
}
