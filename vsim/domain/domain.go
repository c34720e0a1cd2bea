package domain

import (
	"bytes"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/gp/scp03"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/vsim/uicc"
)

// Domain is the issuer security domain. It is not safe for concurrent use.
type Domain struct {
	state  State
	iccid  [10]byte
	commit func(State) error
	apps   []Personalized

	session *scp03.Card // nil: none was begun
	channel int         // to which the session belongs
	script  *script     // nil: no personalisation runs
}

var _ uicc.App = (*Domain)(nil)

// script is one sequence of STORE DATA blocks.
type script struct {
	app  Personalized
	next int // number of the next block
}

// New returns the security domain with the given state, on the SIM with the given
// EF.ICCID content, which serves as key diversification data. It personalises apps. commit makes a
// state durable; what it refuses is not done and is answered 6581.
func New(s State, iccid [10]byte, commit func(State) error, apps ...Personalized) *Domain {
	return &Domain{state: s, iccid: iccid, commit: commit, apps: apps}
}

// AIDs implements [uicc.App].
func (d *Domain) AIDs() [][]byte { return [][]byte{d.state.AID} }

// Select implements [uicc.App]: it ends the session of the channel.
func (d *Domain) Select(ch int) ([]byte, apdu.SW) {
	d.Deselect(ch)
	return controlInformation(d.state.AID), apdu.OK
}

// Deselect implements [uicc.App].
func (d *Domain) Deselect(ch int) {
	if d.channel == ch {
		d.endSession()
	}
}

// Reset implements [uicc.App].
func (d *Domain) Reset() { d.endSession() }

func (d *Domain) endSession() {
	d.endScript()
	d.session = nil
}

func (d *Domain) endScript() {
	if d.script != nil {
		d.script.app.AbortPersonalization()
		d.script = nil
	}
}

// Instructions of the security domain.
const (
	insGetData   byte = 0xCA
	insStoreData byte = 0xE2
	insInstall   byte = 0xE6
)

// Process implements [uicc.App].
func (d *Domain) Process(ch int, c apdu.Command) apdu.Response {
	mine := d.session != nil && d.channel == ch
	switch {
	case c.INS == scp03.InsInitializeUpdate && !apdu.Secured(c.CLA):
		return d.initializeUpdate(ch, c)
	case c.INS == scp03.InsExternalAuthenticate && apdu.Secured(c.CLA):
		if !mine {
			return refuse(apdu.ConditionsNot)
		}
		return d.externalAuthenticate(c)
	case !mine || !d.session.Open():
		if apdu.Secured(c.CLA) {
			return refuse(apdu.SecurityNotSatisfied)
		}
		return d.plain(c)
	}
	plain, sw := d.session.Unwrap(c)
	if sw != apdu.OK {
		d.endSession()
		return refuse(sw)
	}
	return d.session.Wrap(d.secured(plain))
}

// plain carries out a command outside a session.
func (d *Domain) plain(c apdu.Command) apdu.Response {
	switch c.INS {
	case insGetData:
		return d.getData(c)
	case insInstall, insStoreData:
		return refuse(apdu.SecurityNotSatisfied)
	}
	return refuse(apdu.InstructionNot)
}

// secured carries out a command that came through the secure channel. Anything but the
// next STORE DATA ends a personalisation.
func (d *Domain) secured(c apdu.Command) apdu.Response {
	if c.INS == insStoreData {
		return d.storeData(c)
	}
	d.endScript()
	if c.INS == insInstall {
		return d.install(c)
	}
	return d.plain(c)
}

// trusted is what a session must protect before it may change an application.
const trusted = scp03.CMAC | scp03.CDEC | scp03.RMAC

// install is INSTALL [for personalization] (GPCS 2.3.1, 11.5.2.3.6).
func (d *Domain) install(c apdu.Command) apdu.Response {
	const forPersonalization = 0x20
	if c.P1 != forPersonalization || c.P2 != 0 {
		return refuse(apdu.WrongP1P2)
	}
	if !d.session.Level().Has(trusted) {
		return refuse(apdu.SecurityNotSatisfied)
	}
	aid, ok := parseInstall(c.Data)
	if !ok {
		return refuse(apdu.WrongData)
	}
	app := d.find(aid)
	if app == nil {
		return refuse(apdu.ReferenceNotFound)
	}
	d.script = &script{app: app}
	app.BeginPersonalization(d.session.DecryptSensitive)
	return apdu.Response{Data: []byte{0x00}, SW: apdu.OK}
}

// parseInstall reads the data of INSTALL [for personalization]: two empty fields, the AID, three
// empty fields.
func parseInstall(b []byte) (aid []byte, ok bool) {
	const before, after = 3, 3
	if len(b) < before+after || b[0] != 0 || b[1] != 0 || int(b[2]) != len(b)-before-after {
		return nil, false
	}
	end := len(b) - after
	return b[before:end], bytes.Equal(b[end:], []byte{0, 0, 0})
}

func (d *Domain) find(aid []byte) Personalized {
	for _, app := range d.apps {
		for _, name := range app.AIDs() {
			if bytes.Equal(name, aid) {
				return app
			}
		}
	}
	return nil
}

// storeData is STORE DATA (GPCS 2.3.1, 11.11), passed on to the application in clear.
func (d *Domain) storeData(c apdu.Command) apdu.Response {
	switch {
	case !d.session.Level().Has(trusted):
		return refuse(apdu.SecurityNotSatisfied)
	case d.script == nil:
		return refuse(apdu.ConditionsNot)
	case int(c.P2) != d.script.next:
		d.endScript()
		return refuse(apdu.WrongP1P2)
	}
	d.script.next++
	r := d.script.app.StoreData(c.P1, c.P2, c.Data)
	switch {
	case r.SW != apdu.OK:
		d.endScript()
	case c.P1&perso.LastBlock != 0:
		d.script = nil
	}
	return r
}

func refuse(sw apdu.SW) apdu.Response { return apdu.Response{SW: sw} }
