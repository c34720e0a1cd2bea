package scp03

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"

	"github.com/simroot/simroot/apdu"
)

// session is what both ends share once they know both challenges.
type session struct {
	enc       cipher.Block
	mac, rmac *cmac
	context   [2 * challengeSize]byte

	level   Level
	chain   [blockSize]byte // MAC chaining value
	counter uint64          // of commands since EXTERNAL AUTHENTICATE
}

// exchange is what protects one command and its answer.
type exchange struct {
	chain   [blockSize]byte
	counter uint64
}

func newSession(keys Keys, host, card [challengeSize]byte) *session {
	s := new(session)
	copy(s.context[:], host[:])
	copy(s.context[challengeSize:], card[:])
	size := len(keys.ENC)
	static := newCMAC(keys.MAC)
	s.enc = newAES(derive(newCMAC(keys.ENC), sessionENC, size, s.context[:]))
	s.mac = newCMAC(derive(static, sessionMAC, size, s.context[:]))
	s.rmac = newCMAC(derive(static, sessionRMAC, size, s.context[:]))
	return s
}

func (s *session) cryptogram(constant byte) []byte {
	return derive(s.mac, constant, cryptogramSize, s.context[:])
}

// macClass is the class byte as the MAC sees it: secured, on the basic channel.
func macClass(cla byte) byte { return cla&0x80 | 0x04 }

// securedClass tells whether a class byte announces this protocol's secure messaging,
// and nothing else: chaining and the other forms of secure messaging are refused.
func securedClass(cla byte) bool {
	if cla&0x40 != 0 {
		return cla&0x30 == 0x20
	}
	return cla&0x3C == 0x04
}

// chainOver is the full MAC over a command's header and its data as sent.
func (s *session) chainOver(c apdu.Command, data []byte) [blockSize]byte {
	header := [5]byte{macClass(c.CLA), c.INS, c.P1, c.P2, byte(len(data) + macSize)}
	return s.mac.sum(s.chain[:], header[:], data)
}

// sign appends the MAC to a command and moves the chain on.
func (s *session) sign(c apdu.Command) apdu.Command {
	s.chain = s.chainOver(c, c.Data)
	c.CLA = macClass(c.CLA)
	data := make([]byte, 0, len(c.Data)+macSize)
	c.Data = append(append(data, c.Data...), s.chain[:macSize]...)
	return c
}

// verify removes the MAC of a command and moves the chain on if it is right.
func (s *session) verify(c apdu.Command) (apdu.Command, bool) {
	n := len(c.Data) - macSize
	if n < 0 || !securedClass(c.CLA) {
		return apdu.Command{}, false
	}
	data, mac := c.Data[:n:n], c.Data[n:]
	chain := s.chainOver(c, data)
	if subtle.ConstantTimeCompare(chain[:macSize], mac) != 1 {
		return apdu.Command{}, false
	}
	s.chain = chain
	c.Data = data
	return c, true
}

func (s *session) wrapCommand(c apdu.Command) (apdu.Command, exchange) {
	s.counter++
	if s.level.Has(CDEC) && len(c.Data) > 0 {
		c.Data = seal(s.enc, s.iv(s.counter, 0), c.Data)
	}
	if c.Le > 0 {
		c.Le = apdu.MaxLe
	}
	c = s.sign(c)
	return c, exchange{chain: s.chain, counter: s.counter}
}

func (s *session) unwrapCommand(c apdu.Command) (apdu.Command, exchange, bool) {
	c, ok := s.verify(c)
	if !ok {
		return apdu.Command{}, exchange{}, false
	}
	s.counter++
	if s.level.Has(CDEC) && len(c.Data) > 0 {
		if c.Data, ok = open(s.enc, s.iv(s.counter, 0), c.Data); !ok {
			return apdu.Command{}, exchange{}, false
		}
	}
	c.CLA = apdu.OnChannel(c.CLA&0x80, apdu.ChannelOf(c.CLA))
	return c, exchange{chain: s.chain, counter: s.counter}, true
}

// protectedStatus tells whether an answer with this status word carries protection.
func protectedStatus(sw apdu.SW) bool { return sw == apdu.OK || sw>>8 == 0x62 || sw>>8 == 0x63 }

func (s *session) wrapResponse(e exchange, r apdu.Response) apdu.Response {
	if !protectedStatus(r.SW) {
		return apdu.Response{SW: r.SW}
	}
	if !s.level.Has(RMAC) {
		return r
	}
	data := r.Data
	if s.level.Has(RENC) && len(data) > 0 {
		data = seal(s.enc, s.iv(e.counter, responseIV), data)
	}
	mac := s.responseMAC(e, data, r.SW)
	out := make([]byte, 0, len(data)+macSize)
	return apdu.Response{Data: append(append(out, data...), mac[:macSize]...), SW: r.SW}
}

func (s *session) unwrapResponse(e exchange, r apdu.Response) (apdu.Response, bool) {
	if !s.level.Has(RMAC) {
		return r, true
	}
	if !protectedStatus(r.SW) {
		return apdu.Response{SW: r.SW}, len(r.Data) == 0 && r.SW.Err() != nil
	}
	n := len(r.Data) - macSize
	if n < 0 {
		return apdu.Response{}, false
	}
	data := r.Data[:n:n]
	mac := s.responseMAC(e, data, r.SW)
	if subtle.ConstantTimeCompare(mac[:macSize], r.Data[n:]) != 1 {
		return apdu.Response{}, false
	}
	ok := true
	if s.level.Has(RENC) && n > 0 {
		data, ok = open(s.enc, s.iv(e.counter, responseIV), data)
	}
	return apdu.Response{Data: data, SW: r.SW}, ok
}

func (s *session) responseMAC(e exchange, data []byte, sw apdu.SW) [blockSize]byte {
	status := [2]byte{byte(sw >> 8), byte(sw)}
	return s.rmac.sum(e.chain[:], data, status[:])
}

// responseIV is the first byte of the counter block for answers.
const responseIV = 0x80

func (s *session) iv(counter uint64, first byte) []byte {
	iv := make([]byte, blockSize)
	iv[0] = first
	binary.BigEndian.PutUint64(iv[8:], counter)
	s.enc.Encrypt(iv, iv)
	return iv
}
