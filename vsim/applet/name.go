package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/tlv"
)

// target is an object that a command named by its identifier or its label. The
// container is nil if there is none; the reference is then known only if the command
// gave an identifier.
type target struct {
	ref       perso.Ref
	container *Container
}

// named reads the data of a command that is only the name of an object of the given kind.
func (a *Applet) named(kind iotsafe.Kind, data []byte) (target, apdu.SW) {
	parts, err := tlv.ParseSimple(data)
	if err != nil || len(parts) != 1 {
		return target{}, apdu.WrongData
	}
	return a.resolve(kind, parts[0])
}

// resolve finds the object that one field names.
func (a *Applet) resolve(kind iotsafe.Kind, field tlv.Object) (target, apdu.SW) {
	switch byte(field.Tag) {
	case kind.IDTag():
		ref := perso.Ref{Kind: kind, ID: iotsafe.ID(field.Value)}
		if ref.ID.Check() != nil {
			return target{}, apdu.WrongData
		}
		return target{ref: ref, container: a.state.find(ref)}, apdu.OK
	case kind.LabelTag():
		if c := a.state.labelled(kind, string(field.Value)); c != nil {
			return target{ref: c.ref(), container: c}, apdu.OK
		}
		return target{}, apdu.NotFound
	}
	return target{}, apdu.WrongData
}

// labelled finds an object by its label. Where several bear it, as the slots of a
// rotating credential may, the active one is meant.
func (s *State) labelled(kind iotsafe.Kind, label string) *Container {
	var found *Container
	for i := range s.Objects {
		c := &s.Objects[i]
		if label == "" || c.Object.Kind != kind || c.Object.Label != label {
			continue
		}
		if c.Object.Active {
			return c
		}
		if found == nil {
			found = c
		}
	}
	return found
}

// publicHalf is the public key that belongs to a private key: the one with the same
// label, and with the same identifier too if there are several; without a label, the one with the
// same identifier.
func (s *State) publicHalf(private *Container) *Container {
	same := s.find(perso.Ref{Kind: iotsafe.PublicKey, ID: private.Object.ID})
	if private.Object.Label == "" || same != nil && same.Object.Label == private.Object.Label {
		return same
	}
	for i := range s.Objects {
		if c := &s.Objects[i]; c.Object.Kind == iotsafe.PublicKey && c.Object.Label == private.Object.Label {
			return c
		}
	}
	return nil
}
