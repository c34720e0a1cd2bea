package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// computeDH is COMPUTE DH: the x coordinate of the shared point.
func (a *Applet) computeDH(ch int, c apdu.Command) apdu.Response {
	if c.P1 != 0 || c.P2 != 0 {
		return refuse(apdu.WrongP1P2)
	}
	f, ok := readFields(c.Data)
	if !ok {
		return refuse(apdu.WrongData)
	}
	privateName, ok := f.name(iotsafe.PrivateKey)
	publicName, okPublic := f.name(iotsafe.PublicKey)
	if !ok || !okPublic || privateName.Tag == 0 || publicName.Tag == 0 || !f.empty() {
		return refuse(apdu.WrongData)
	}
	private, sw := a.resolve(iotsafe.PrivateKey, privateName)
	if sw != apdu.OK {
		return refuse(sw)
	}
	public, sw := a.resolve(iotsafe.PublicKey, publicName)
	if sw != apdu.OK {
		return refuse(sw)
	}
	return a.administered(ch, func() apdu.Response {
		switch {
		case private.container == nil, public.container == nil:
			return refuse(apdu.NotFound)
		case !mayAgree(private.container.Object), !mayAgree(public.container.Object),
			family(private.container.Object.KeyType) != family(public.container.Object.KeyType):
			return refuse(apdu.ConditionsNot)
		}
		secret, err := a.agree(private.container, public.container)
		if err != nil {
			return refuse(apdu.StoreDamaged)
		}
		return answer(secret)
	}, private.ref, public.ref)
}

// mayAgree tells whether a key is meant for key agreement. Tag 6F may be absent, for
// there is only one kind of it.
func mayAgree(o iotsafe.Object) bool {
	return o.Active && o.KeyType != iotsafe.RSA2048 && !restricted(o) &&
		o.Functions&iotsafe.KeyAgreement != 0 &&
		(o.KeyAgreement == 0 || o.KeyAgreement&iotsafe.ECKA != 0)
}
