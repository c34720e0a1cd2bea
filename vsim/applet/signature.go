package applet

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	_ "crypto/sha256" // SHA-256
	_ "crypto/sha512" // SHA-384 and SHA-512

	"github.com/simroot/simroot/apdu"
	"github.com/simroot/simroot/iotsafe"
	"github.com/simroot/simroot/perso"
	"github.com/simroot/simroot/tlv"
)

// P1 of INIT and UPDATE.
const (
	p1Open  = 0x00
	p1Close = 0x01
	p1Last  = 0x80
)

// Sizes, in bytes.
const (
	halfSize      = 32 // of r and of s
	signatureSize = 2 * halfSize
	minDigest     = 32
	maxDigest     = 64
)

// sessionID names a session: each channel has its own numbers.
type sessionID struct {
	channel int
	number  byte
}

// signing is an open COMPUTE SIGNATURE session.
type signing struct {
	key  perso.Ref
	mode iotsafe.Mode
	hash iotsafe.Hash

	// stale tells that remote administration has touched the key meanwhile.
	stale bool
}

// signInit is COMPUTE SIGNATURE INIT: it opens a session, which ends one with the same
// number, or closes it, which is harmless if there is none.
func (a *Applet) signInit(ch int, c apdu.Command) apdu.Response {
	id := sessionID{ch, c.P2}
	switch c.P1 {
	case p1Close:
		delete(a.sessions, id)
		return refuse(apdu.OK)
	case p1Open:
		delete(a.sessions, id)
	default:
		return refuse(apdu.WrongP1P2)
	}
	p, sw := a.signParameters(c.Data)
	if sw != apdu.OK {
		return refuse(sw)
	}
	return a.administered(ch, func() apdu.Response {
		if sw := p.check(); sw != apdu.OK {
			return refuse(sw)
		}
		if can := a.state.Capabilities; !can.HasSignature(p.algorithm) || p.mode != iotsafe.PadAndSign && !can.HasHash(p.hash) {
			return refuse(apdu.ConditionsNot)
		}
		if len(a.sessions) >= MaxSessions {
			return refuse(apdu.RemoteAdminTouched)
		}
		a.sessions[id] = &signing{key: p.key.ref, mode: p.mode, hash: p.hash}
		return refuse(apdu.OK)
	}, p.key.ref)
}

// signParameters is what INIT carries, in any order.
type signParameters struct {
	key       target
	named     bool
	mode      iotsafe.Mode
	hash      iotsafe.Hash
	algorithm iotsafe.SignatureAlgorithm
}

func (a *Applet) signParameters(data []byte) (p signParameters, sw apdu.SW) {
	fields, err := tlv.ParseSimple(data)
	if err != nil {
		return p, apdu.WrongData
	}
	for _, f := range fields {
		v := f.Value
		switch tag := byte(f.Tag); {
		case tag == iotsafe.TagMode && len(v) == 1 && p.mode == 0:
			p.mode = iotsafe.Mode(v[0])
		case tag == iotsafe.TagHashes && len(v) == 2 && p.hash == 0:
			p.hash = iotsafe.Hash(v[0])<<8 | iotsafe.Hash(v[1])
		case tag == iotsafe.TagSignatures && len(v) == 1 && p.algorithm == 0:
			p.algorithm = iotsafe.SignatureAlgorithm(v[0])
		case !p.named:
			if p.key, sw = a.resolve(iotsafe.PrivateKey, f); sw != apdu.OK {
				return p, sw
			}
			p.named = true
		default: // doubled, of a wrong size, or an identifier and a label
			return p, apdu.WrongData
		}
	}
	if !p.named {
		return p, apdu.WrongData
	}
	return p, apdu.OK
}

// check tells whether the key may be used as INIT asks.
func (p signParameters) check() apdu.SW {
	if p.key.container == nil {
		return apdu.NotFound
	}
	switch {
	case p.algorithm != iotsafe.ECDSA,
		p.mode != iotsafe.PadAndSign && p.mode != iotsafe.FullText,
		p.mode == iotsafe.FullText && hashes[p.hash] == 0:
		return apdu.WrongData
	}
	// In mode 03 the hash is the client's business: many always say SHA-256.
	key := p.key.container.Object
	switch {
	case !key.Active,
		key.Functions&iotsafe.Signing == 0,
		key.Signatures&iotsafe.ECDSA == 0,
		p.mode == iotsafe.FullText && key.Hashes&p.hash == 0:
		return apdu.ConditionsNot
	}
	return apdu.OK
}

var hashes = map[iotsafe.Hash]crypto.Hash{
	iotsafe.SHA256: crypto.SHA256,
	iotsafe.SHA384: crypto.SHA384,
	iotsafe.SHA512: crypto.SHA512,
}

// signUpdate is COMPUTE SIGNATURE UPDATE. Whatever comes of it, the session has ended.
func (a *Applet) signUpdate(ch int, c apdu.Command) apdu.Response {
	id := sessionID{ch, c.P2}
	s := a.sessions[id]
	if s == nil {
		return refuse(apdu.ConditionsNot)
	}
	delete(a.sessions, id)
	return a.administered(ch, func() apdu.Response {
		if c.P1 != p1Last { // a text in several parts is not supported
			return refuse(apdu.WrongP1P2)
		}
		digest, sw := s.digest(c.Data)
		if sw != apdu.OK {
			return refuse(sw)
		}
		private := a.state.find(s.key)
		if s.stale || private == nil || !private.Object.Active {
			return refuse(apdu.ConditionsNot)
		}
		key, ok := a.key(private)
		if !ok {
			return refuse(apdu.StoreDamaged)
		}
		signature, err := sign(key, digest)
		if err != nil {
			return refuse(apdu.Unknown)
		}
		return answer(a.signatureData(c.CLA, signature))
	}, s.key)
}

// digest is what UPDATE wants signed.
func (s *signing) digest(data []byte) ([]byte, apdu.SW) {
	if s.mode == iotsafe.FullText {
		text, ok := fullText(data)
		if !ok {
			return nil, apdu.WrongData
		}
		h := hashes[s.hash].New()
		h.Write(text)
		return h.Sum(nil), apdu.OK
	}
	field, rest, err := tlv.NextSimple(data)
	if err != nil || len(rest) > 0 || byte(field.Tag) != iotsafe.TagDigest ||
		len(field.Value) < minDigest || len(field.Value) > maxDigest {
		return nil, apdu.WrongData
	}
	return field.Value, apdu.OK
}

// fullText is the value of tag 9B. The length of its length is not settled in the field:
// the form that fits the bytes present is taken, and no two can.
func fullText(b []byte) ([]byte, bool) {
	if len(b) < 2 || b[0] != iotsafe.TagFullText {
		return nil, false
	}
	if n := len(b); n >= 4 && int(b[1])<<16|int(b[2])<<8|int(b[3]) == n-4 {
		return b[4:], true
	}
	if int(b[1]) == len(b)-2 {
		return b[2:], true
	}
	head := 2 + int(b[1]&0x7F) // BER
	if b[1] < 0x81 || b[1] > 0x83 || len(b) < head {
		return nil, false
	}
	length := 0
	for _, x := range b[2:head] {
		length = length<<8 | int(x)
	}
	return b[head:], length == len(b)-head
}

// sign is the ECDSA signature r‖s, each of fixed width. Only the first 256 bits of a
// longer digest count.
func sign(key *ecdsa.PrivateKey, digest []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, digest)
	if err != nil {
		return nil, err
	}
	signature := make([]byte, signatureSize)
	r.FillBytes(signature[:halfSize])
	s.FillBytes(signature[halfSize:])
	return signature, nil
}

// signatureData is tag 33. Its length has two bytes, but clients that use the
// interindustry class, and only those, expect one; a profile may settle for one form.
func (a *Applet) signatureData(cla byte, signature []byte) []byte {
	form := a.state.SignatureLength
	data := make([]byte, 0, 3+len(signature))
	data = append(data, iotsafe.TagSignature)
	if form == TwoByteLength || form == AutoLength && cla&0x80 != 0 {
		data = append(data, 0x00)
	}
	data = append(data, byte(len(signature)))
	return append(data, signature...)
}

// inSession tells whether a session uses the key.
func (a *Applet) inSession(key perso.Ref) bool {
	for _, s := range a.sessions {
		if s.key == key {
			return true
		}
	}
	return false
}
