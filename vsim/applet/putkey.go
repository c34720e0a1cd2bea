package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/tlv"
)

// putting is a PUT PUBLIC KEY session. The container keeps its old key until the last
// UPDATE has brought the whole of the new one.
type putting struct {
	ref  perso.Ref
	data []byte
}

// preparePutting reads the parameter of PUT PUBLIC KEY INIT.
func (a *Applet) preparePutting(data []byte) (p preparation, sw apdu.SW) {
	if p.key, sw = a.named(iotsafe.PublicKey, data); sw != apdu.OK {
		return p, sw
	}
	switch c := p.key.container; {
	case c == nil:
		return p, apdu.NotFound
	case c.Object.Access&iotsafe.Updateable == 0:
		return p, apdu.ConditionsNot
	}
	p.task = &putting{ref: p.key.ref}
	return p, apdu.OK
}

// update is PUT PUBLIC KEY UPDATE. The new key is active at once.
func (s *putting) update(a *Applet, c apdu.Command, last bool) apdu.Response {
	if len(s.data)+len(c.Data) > maxJoined {
		return refuse(apdu.WrongData)
	}
	s.data = append(s.data, c.Data...)
	if !last {
		return refuse(apdu.OK)
	}
	if a.running != nil {
		// A personalisation works on a copy of the store and would undo this.
		return refuse(apdu.DataInvalidated)
	}
	next := a.state.clone()
	container := next.find(s.ref)
	if container == nil {
		return refuse(apdu.ConditionsNot)
	}
	data, ok := joinKeyData(s.data)
	if !ok {
		return refuse(apdu.WrongData)
	}
	content, err := publicKeyContent(container.Object.KeyType, data)
	if err != nil {
		return refuse(apdu.WrongData)
	}
	container.fill(content)
	container.Object.Active = true
	if container.volatile() {
		a.replace(next) // it does not outlive a reset, so nothing is written
	} else if sw := a.save(next); sw != apdu.OK {
		return refuse(sw)
	}
	a.staleSessions(func(ref perso.Ref) bool { return ref == s.ref })
	return refuse(apdu.OK)
}

// joinKeyData is public key data (tag 34) as one field: it may come as a field whose
// length announces more than one command carries, or as a field in each command.
func joinKeyData(b []byte) ([]byte, bool) {
	var value []byte
	for len(b) > 0 {
		if len(b) < 2 || b[0] != iotsafe.TagPublicKey {
			return nil, false
		}
		field, rest, err := tlv.Next(b)
		if err != nil {
			// Not BER: lengths of one byte, as that of a full command in the field.
			length := int(b[1])
			if 2+length > len(b) {
				return nil, false
			}
			field.Value, rest = b[2:2+length], b[2+length:]
		}
		value, b = append(value, field.Value...), rest
	}
	return tlv.Append(nil, tlv.Tag(iotsafe.TagPublicKey), value...), true
}
