package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// verifying is a VERIFY SIGNATURE session.
type verifying struct {
	scheme
	key     iotsafe.ID
	message message
}

// prepareVerifying reads the parameters of VERIFY SIGNATURE INIT. What a key may sign does
// not limit what may be verified with its public half.
func (a *Applet) prepareVerifying(data []byte) (preparation, apdu.SW) {
	p, s, sw := a.prepareScheme(iotsafe.PublicKey, data)
	if sw != apdu.OK {
		return p, sw
	}
	p.task = &verifying{scheme: s, key: p.key.container.Object.ID, message: newMessage(s, iotsafe.General, true)}
	return p, apdu.OK
}

// update is VERIFY SIGNATURE UPDATE.
func (s *verifying) update(a *Applet, c apdu.Command, last bool) apdu.Response {
	if sw := s.message.add(c.Data, last); sw != apdu.OK || !last {
		return refuse(sw)
	}
	digest, signature, sw := s.message.digest()
	switch {
	case sw != apdu.OK:
		return refuse(sw)
	case !s.fits(digest), len(signature) != s.signatureSize():
		return refuse(apdu.WrongData)
	}
	public := a.usable(iotsafe.PublicKey, s.key)
	if public == nil {
		return refuse(apdu.ConditionsNot)
	}
	good, ok := verifies(public, s.algorithm, s.hash.Func(), digest, signature)
	switch {
	case !ok:
		return refuse(apdu.StoreDamaged)
	case !good:
		return refuse(apdu.SignatureMismatch)
	}
	return refuse(apdu.OK)
}
