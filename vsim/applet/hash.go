package applet

import (
	"hash"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// hashing is a COMPUTE HASH session, one of simroot's own services.
type hashing struct{ hash hash.Hash }

// prepareHashing reads the parameter of COMPUTE HASH INIT.
func (a *Applet) prepareHashing(data []byte) (p preparation, sw apdu.SW) {
	f, ok := readFields(data)
	if !ok {
		return p, apdu.WrongData
	}
	number, ok := f.number(iotsafe.TagHashes, 2)
	function := iotsafe.Hash(number).Func()
	if !ok || !f.empty() || function == 0 {
		return p, apdu.WrongData
	}
	if !a.state.Capabilities.HasHash(iotsafe.Hash(number)) {
		return p, apdu.ConditionsNot
	}
	p.task = &hashing{function.New()}
	return p, apdu.OK
}

// update is COMPUTE HASH UPDATE: the data is the text itself.
func (s *hashing) update(_ *Applet, c apdu.Command, last bool) apdu.Response {
	s.hash.Write(c.Data)
	if !last {
		return refuse(apdu.OK)
	}
	return answer(s.hash.Sum(nil))
}
