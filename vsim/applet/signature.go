package applet

import (
	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/tlv"
)

// scheme is what the INITs of COMPUTE and VERIFY SIGNATURE say, in any order of fields.
type scheme struct {
	mode      iotsafe.Mode
	hash      iotsafe.Hash
	algorithm iotsafe.SignatureAlgorithm
}

// readScheme reads the data of an INIT: a scheme, and the name of a key.
func readScheme(kind iotsafe.Kind, data []byte) (s scheme, name tlv.Object, ok bool) {
	f, ok := readFields(data)
	if !ok {
		return s, name, false
	}
	name, named := f.name(kind)
	mode, okMode := f.number(iotsafe.TagMode, 1)
	hash, okHash := f.number(iotsafe.TagHashes, 2)
	algorithm, okAlgorithm := f.number(iotsafe.TagSignatures, 1)
	s = scheme{iotsafe.Mode(mode), iotsafe.Hash(hash), iotsafe.SignatureAlgorithm(algorithm)}
	return s, name, named && name.Tag != 0 && okMode && okHash && okAlgorithm && f.empty() && s.known()
}

// known tells whether there is such a scheme. In mode 03 on a curve the hash is the
// client's business: many always say SHA-256.
func (s scheme) known() bool {
	switch s.algorithm {
	case iotsafe.ECDSA:
		return s.mode == iotsafe.PadAndSign || s.hashes()
	case iotsafe.RSAPKCS1v15, iotsafe.RSAPSS:
		return (s.mode == iotsafe.PadAndSign || s.hashes()) && s.hash.Func() != 0
	}
	return false
}

// hashes tells that the applet makes the digest, at least the end of it.
func (s scheme) hashes() bool {
	return (s.mode == iotsafe.FullText || s.mode == iotsafe.LastBlock) && s.hash.Func() != 0
}

// allows tells whether a key may be used as a scheme has it.
func (s scheme) allows(key iotsafe.Object) bool {
	onCurve := s.algorithm == iotsafe.ECDSA
	return key.Active &&
		key.Functions&iotsafe.Signing != 0 &&
		key.Signatures&s.algorithm != 0 &&
		signsWith(key.KeyType, s.algorithm) &&
		(key.Hashes&s.hash != 0 || onCurve && s.mode == iotsafe.PadAndSign)
}

// offered tells whether the card has what the scheme needs.
func (s scheme) offered(c *Capabilities) bool {
	return c.HasSignature(s.algorithm) && (s.mode == iotsafe.PadAndSign || c.HasHash(s.hash))
}

// fits tells whether a digest has the size that the scheme needs. Only the first 256 bits
// of a longer one count on a curve.
func (s scheme) fits(digest []byte) bool {
	return s.algorithm == iotsafe.ECDSA || len(digest) == s.hash.Func().Size()
}

// signatureSize is the size of the scheme's signatures, in bytes.
func (s scheme) signatureSize() int {
	if s.algorithm == iotsafe.ECDSA {
		return signatureSize
	}
	return rsaSize
}

// prepareScheme reads the data of an INIT: a scheme, and the name of a key that may be used so.
func (a *Applet) prepareScheme(kind iotsafe.Kind, data []byte) (p preparation, s scheme, sw apdu.SW) {
	s, name, ok := readScheme(kind, data)
	if !ok {
		return p, s, apdu.WrongData
	}
	if p.key, sw = a.resolve(kind, name); sw != apdu.OK {
		return p, s, sw
	}
	if p.key.container == nil {
		return p, s, apdu.NotFound
	}
	if !s.offered(a.state.Capabilities) || !s.allows(p.key.container.Object) {
		return p, s, apdu.ConditionsNot
	}
	return p, s, apdu.OK
}

// signing is a COMPUTE SIGNATURE session.
type signing struct {
	scheme
	key     iotsafe.ID
	message message
}

// prepareSigning reads the parameters of COMPUTE SIGNATURE INIT.
func (a *Applet) prepareSigning(data []byte) (preparation, apdu.SW) {
	p, s, sw := a.prepareScheme(iotsafe.PrivateKey, data)
	if sw != apdu.OK {
		return p, sw
	}
	key := p.key.container.Object
	if restricted(key) && s.mode != iotsafe.FullText {
		return p, apdu.ConditionsNot
	}
	p.task = &signing{scheme: s, key: key.ID, message: newMessage(s, key.Usage, false)}
	return p, apdu.OK
}

// update is COMPUTE SIGNATURE UPDATE.
func (s *signing) update(a *Applet, c apdu.Command, last bool) apdu.Response {
	if sw := s.message.add(c.Data, last); sw != apdu.OK || !last {
		return refuse(sw)
	}
	digest, _, sw := s.message.digest()
	switch {
	case sw != apdu.OK:
		return refuse(sw)
	case !s.fits(digest):
		return refuse(apdu.WrongData)
	}
	private := a.usable(iotsafe.PrivateKey, s.key)
	if private == nil {
		return refuse(apdu.ConditionsNot)
	}
	key, ok := a.key(private)
	if !ok {
		return refuse(apdu.StoreDamaged)
	}
	signature, err := key.sign(s.algorithm, s.hash.Func(), digest)
	if err != nil {
		return refuse(apdu.Unknown)
	}
	return answer(a.signatureData(c.CLA, signature))
}

// signatureData is tag 33. Its length has two bytes, but clients that use the
// interindustry class, and only those, expect one; a profile may settle for one form. An
// RSA signature leaves no choice.
func (a *Applet) signatureData(cla byte, signature []byte) []byte {
	n := len(signature)
	data := append(make([]byte, 0, 3+n), iotsafe.TagSignature)
	form := a.state.SignatureLength
	if n > 0xFF || form == TwoByteLength || form == AutoLength && cla&0x80 != 0 {
		data = append(data, byte(n>>8))
	}
	data = append(data, byte(n))
	return append(data, signature...)
}
