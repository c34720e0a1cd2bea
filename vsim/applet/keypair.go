package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/tlv"
)

// readPublicKey is READ PUBLIC KEY.
func (a *Applet) readPublicKey(ch int, c apdu.Command) apdu.Response {
	if c.P1 != 0 || c.P2 != 0 {
		return refuse(apdu.WrongP1P2)
	}
	t, sw := a.named(iotsafe.PublicKey, c.Data)
	if sw != apdu.OK {
		return refuse(sw)
	}
	return a.administered(ch, func() apdu.Response {
		key := t.container
		switch {
		case key == nil:
			return refuse(apdu.NotFound)
		case !key.Object.Active || !key.filled() || key.Object.Access&iotsafe.Readable == 0:
			return refuse(apdu.ConditionsNot)
		}
		data, err := publicKeyData(nil, key)
		if err != nil {
			return refuse(apdu.StoreDamaged)
		}
		return answer(data)
	}, t.ref)
}

// generateKeyPair is GENERATE KEY PAIR, the one command with which a device changes the
// store. The new pair is active at once.
func (a *Applet) generateKeyPair(ch int, c apdu.Command) apdu.Response {
	if c.P1 != 0 || c.P2 != 0 {
		return refuse(apdu.WrongP1P2)
	}
	t, sw := a.named(iotsafe.PrivateKey, c.Data)
	if sw != apdu.OK {
		return refuse(sw)
	}
	if a.running != nil {
		// A personalisation works on a copy of the store and would undo this.
		return refuse(apdu.DataInvalidated)
	}
	refs := []perso.Ref{t.ref}
	var public *Container
	if t.container != nil {
		if public = a.state.publicHalf(t.container); public != nil {
			refs = append(refs, public.ref())
		}
	}
	return a.administered(ch, func() apdu.Response {
		switch {
		case t.container == nil:
			return refuse(apdu.NotFound)
		case public == nil, !mayGenerate(t.container, public), a.inSession(refs...):
			return refuse(apdu.ConditionsNot)
		}
		return a.generate(t.ref, public.ref())
	}, refs...)
}

func mayGenerate(private, public *Container) bool {
	return family(private.Object.KeyType) == family(public.Object.KeyType) &&
		private.Object.Functions&iotsafe.KeyGeneration != 0 &&
		public.Object.Functions&iotsafe.KeyGeneration != 0 &&
		public.Object.Access&iotsafe.Readable != 0
}

func (a *Applet) generate(private, public perso.Ref) apdu.Response {
	next := a.state.clone()
	if _, err := next.generate(private, public); err != nil {
		return refuse(apdu.Unknown)
	}
	durable := false
	for _, ref := range []perso.Ref{private, public} {
		half := next.find(ref)
		half.Object.Active = true
		durable = durable || !half.volatile()
	}
	if !durable {
		a.replace(next) // nothing of it outlives a reset, so nothing is written
	} else if sw := a.save(next); sw != apdu.OK {
		return refuse(sw)
	}
	data := tlv.AppendSimple(nil, private.Kind.IDTag(), []byte(private.ID)...)
	data = tlv.AppendSimple(data, public.Kind.IDTag(), []byte(public.ID)...)
	data, err := publicKeyData(data, next.find(public))
	if err != nil {
		return refuse(apdu.Unknown)
	}
	return answer(data)
}

// generate fills both halves of a pair with a new key and leaves them inactive. It returns
// the private half.
func (s *State) generate(private, public perso.Ref) (*Container, error) {
	half := s.find(private)
	secret, open, err := newPrivateKey(half.Object.KeyType)
	if err != nil {
		return nil, err
	}
	half.fill(secret)
	s.find(public).fill(open)
	return half, nil
}
