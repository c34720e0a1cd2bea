package applet

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
)

// Modes of COMPUTE PRF, in P1.
const (
	prfGeneral  byte = 0x00
	prfPSK      byte = 0x01
	prfPSKECDHE byte = 0x02
)

// material is where a derivation takes its secret from: the command, or the store.
type material struct {
	given  []byte
	stored bool
	key    target
}

// takeMaterial takes the secret out of the fields. A command that carries one and names
// one too means the one that it carries.
func (a *Applet) takeMaterial(f *fields) (m material, sw apdu.SW) {
	given, present := f.take(iotsafe.TagSecret)
	name, ok := f.name(iotsafe.SecretKey)
	switch {
	case !ok, !present && name.Tag == 0:
		return m, apdu.WrongData
	case present:
		return material{given: given}, apdu.OK
	}
	m.stored = true
	m.key, sw = a.resolve(iotsafe.SecretKey, name)
	return m, sw
}

// derive carries out a derivation with the secret. A stored one must allow it.
func (a *Applet) derive(ch int, m material, d iotsafe.Derivation, compute func(secret []byte) apdu.Response) apdu.Response {
	if !m.stored {
		return compute(m.given)
	}
	return a.administered(ch, func() apdu.Response {
		c := m.key.container
		switch {
		case c == nil:
			return refuse(apdu.NotFound)
		case !c.Object.Active, c.Object.KeyType != iotsafe.HMACSecret,
			c.Object.Functions&iotsafe.KeyDerivation == 0, c.Object.Derivations&d == 0:
			return refuse(apdu.ConditionsNot)
		}
		return compute(c.Content)
	}, m.key.ref)
}

// computePRF is COMPUTE PRF: the pseudo-random function of TLS 1.2 with SHA-256.
func (a *Applet) computePRF(ch int, c apdu.Command) apdu.Response {
	mode := c.P1
	if mode > prfPSKECDHE || c.P2 != 0 {
		return refuse(apdu.WrongP1P2)
	}
	f, ok := readFields(c.Data)
	if !ok {
		return refuse(apdu.WrongData)
	}
	seed, hasSeed := f.take(iotsafe.TagSeed)
	n, okLength := f.number(iotsafe.TagLength, 1)
	other, hasOther := f.take(iotsafe.TagOtherSecret)
	if !hasSeed || !okLength || n == 0 || hasOther != (mode == prfPSKECDHE) {
		return refuse(apdu.WrongData)
	}
	m, sw := a.takeMaterial(&f)
	if sw != apdu.OK {
		return refuse(sw)
	}
	if !f.empty() || mode != prfGeneral && !m.stored {
		return refuse(apdu.WrongData)
	}
	return a.derive(ch, m, iotsafe.PRFSHA256, func(secret []byte) apdu.Response {
		switch mode {
		case prfPSK:
			secret = premaster(make([]byte, len(secret)), secret)
		case prfPSKECDHE:
			secret = premaster(other, secret)
		}
		return answer(prf(secret, seed, n))
	})
}

// premaster is the premaster secret of a PSK handshake: other and the PSK, each behind its
// length of two bytes. other is the shared secret of ECDHE (RFC 5489, clause 2), or as
// many zeros as the PSK is long (RFC 4279, clause 2).
func premaster(other, psk []byte) []byte {
	b := append([]byte{byte(len(other) >> 8), byte(len(other))}, other...)
	b = append(b, byte(len(psk)>>8), byte(len(psk)))
	return append(b, psk...)
}

// prf is the first n bytes of P_SHA256 (RFC 5246, clause 5), label and seed in one.
func prf(secret, seed []byte, n int) []byte {
	mac := hmac.New(sha256.New, secret)
	sum := func(parts ...[]byte) []byte {
		mac.Reset()
		for _, p := range parts {
			mac.Write(p)
		}
		return mac.Sum(nil)
	}
	var out []byte
	for a := sum(seed); len(out) < n; a = sum(a) {
		out = append(out, sum(a, seed)...)
	}
	return out[:n]
}

// computeHKDF is COMPUTE HKDF: HKDF-Extract (RFC 5869, clause 2.2). Expanding is the
// device's business. Without salt there are zeros in its place.
func (a *Applet) computeHKDF(ch int, c apdu.Command) apdu.Response {
	if c.P1 != 0 || c.P2 != 0 {
		return refuse(apdu.WrongP1P2)
	}
	f, ok := readFields(c.Data)
	if !ok {
		return refuse(apdu.WrongData)
	}
	salt, _ := f.take(iotsafe.TagSalt)
	number, okHash := f.number(iotsafe.TagHashes, 2)
	hash := iotsafe.Hash(number)
	if !okHash || hash.Func() == 0 {
		return refuse(apdu.WrongData)
	}
	m, sw := a.takeMaterial(&f)
	if sw != apdu.OK {
		return refuse(sw)
	}
	if !f.empty() {
		return refuse(apdu.WrongData)
	}
	if !a.state.Capabilities.HasHash(hash) {
		return refuse(apdu.ConditionsNot)
	}
	return a.derive(ch, m, iotsafe.HKDF, func(secret []byte) apdu.Response {
		prk, err := hkdf.Extract(hash.Func().New, secret, salt)
		if err != nil {
			return refuse(apdu.Unknown)
		}
		return answer(prk)
	})
}
