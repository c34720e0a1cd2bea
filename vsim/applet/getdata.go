package applet

import (
	"slices"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// P1 and P2 of GET DATA, besides the kinds of objects in P1.
const (
	p1Application = 0x00
	p1List        = 0x01
	p1Services    = 0xF0 // simroot's own
	p2First       = 0x00
	p2Next        = 0x01
)

// maxListPart is the most data in one part of an object list. Clients in the field have
// receive buffers of 256 bytes, status word included.
const maxListPart = 254

// getData is GET DATA: the application information, the list of objects, or one object.
func (a *Applet) getData(ch int, c apdu.Command) apdu.Response {
	kind := iotsafe.Kind(c.P1)
	switch {
	case c.P1 == p1List && c.P2 == p2Next:
		return a.nextPart(ch)
	case c.P2 != p2First:
		return refuse(apdu.WrongP1P2)
	case c.P1 == p1Application:
		return answer(a.info().Append(nil))
	case c.P1 == p1Services:
		return answer(a.services().Append(nil))
	case c.P1 == p1List:
		a.lists[ch] = a.parts()
		return a.nextPart(ch)
	case slices.Contains(iotsafe.Kinds, kind):
		return a.getObject(ch, kind, c.Data)
	}
	return refuse(apdu.WrongP1P2)
}

func (a *Applet) getObject(ch int, kind iotsafe.Kind, data []byte) apdu.Response {
	t, sw := a.named(kind, data)
	if sw != apdu.OK {
		return refuse(sw)
	}
	return a.administered(ch, func() apdu.Response {
		if t.container == nil {
			return refuse(apdu.NotFound)
		}
		return answer(t.container.describe().Append(nil))
	}, t.ref)
}

// info tells only of what this applet can do.
func (a *Applet) info() iotsafe.Info {
	i := iotsafe.Info{
		Version:       1,
		Identifier:    a.state.Identifier,
		MaxFiles:      MaxObjects,
		MaxSecretKeys: MaxObjects,
		MaxSessions:   MaxSessions,
	}
	i.Functions, i.Derivations = iotsafe.KeyDerivation, iotsafe.PRFSHA256|iotsafe.HKDF
	i.Hashes = iotsafe.SHA256 | iotsafe.SHA384 | iotsafe.SHA512
	if a.state.Type != 2 {
		i.MaxPrivateKeys, i.MaxPublicKeys = MaxObjects, MaxObjects
		i.Functions |= iotsafe.Signing | iotsafe.KeyGeneration | iotsafe.KeyAgreement
		i.Signatures = iotsafe.ECDSA | iotsafe.RSAPKCS1v15 | iotsafe.RSAPSS
		i.KeyAgreement = iotsafe.ECKA
	}
	return a.state.Capabilities.limit(i)
}

// services tells of what this applet can do beyond IoT.05.
func (a *Applet) services() iotsafe.Services {
	s := iotsafe.Services{Version: 1, Hashes: a.info().Hashes, MaxText: MaxText}
	can := a.state.Capabilities
	if can.HasKeyType(iotsafe.AES128Secret) || can.HasKeyType(iotsafe.AES256Secret) {
		s.Ciphers = iotsafe.AESGCM | iotsafe.AESCCM
	}
	if a.state.Type != 2 && can.HasKeyType(iotsafe.RSA2048) {
		s.Ciphers |= iotsafe.RSAOAEP
	}
	return s
}

// parts is the list of objects, cut between objects into what answers carry. It is made
// at once, so that a change between two parts does not show.
func (a *Applet) parts() [][]byte {
	var parts [][]byte
	part := make([]byte, 0, maxListPart)
	var room [192]byte // for the longest description
	for _, kind := range iotsafe.Kinds {
		for i := range a.state.Objects {
			if a.state.Objects[i].Object.Kind != kind {
				continue
			}
			entry := a.state.Objects[i].describe().Append(room[:0])
			if len(part)+len(entry) > maxListPart {
				parts, part = append(parts, part), make([]byte, 0, maxListPart)
			}
			part = append(part, entry...)
		}
	}
	return append(parts, part)
}

func (a *Applet) nextPart(ch int) apdu.Response {
	parts := a.lists[ch]
	switch len(parts) {
	case 0:
		return refuse(apdu.ConditionsNot)
	case 1:
		delete(a.lists, ch)
		return answer(parts[0])
	}
	a.lists[ch] = parts[1:]
	return apdu.Response{Data: parts[0], SW: apdu.MoreData}
}
