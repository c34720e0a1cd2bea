package applet

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"github.com/simroot/simroot/iotsafe"
)

// ccm is AES in CCM mode (RFC 3610, NIST SP 800-38C) with the parameters of RFC 5116,
// clause 5.3: a nonce of 12 bytes, hence lengths of 3 bytes (L), and a tag of 16 (M). Go's
// standard library does not have it.
type ccm struct{ block cipher.Block }

var _ cipher.AEAD = ccm{}

var errNotAuthentic = errors.New("ccm: the text is not authentic")

const (
	ccmBlock      = 16
	ccmLengthSize = ccmBlock - 1 - iotsafe.NonceSize     // L
	ccmFlags      = ccmLengthSize - 1                    // of counter blocks
	ccmTagFlags   = (iotsafe.CipherTagSize - 2) / 2 << 3 // of the first block of the MAC
	ccmAdditional = 0x40                                 // there is additional data
	ccmMaxText    = 1<<(8*ccmLengthSize) - 1
	ccmMaxShort   = 0xFEFF // additional data whose length takes two bytes
)

func (c ccm) NonceSize() int { return iotsafe.NonceSize }
func (c ccm) Overhead() int  { return iotsafe.CipherTagSize }

// Seal appends ciphertext and tag to dst. It panics, as every cipher.AEAD does, on a
// nonce of another size or on texts that are too long for the mode.
func (c ccm) Seal(dst, nonce, text, additional []byte) []byte {
	tag := c.tag(nonce, text, additional)
	dst = c.crypt(dst, nonce, text)
	return append(dst, tag[:]...)
}

// Open appends the text to dst if the tag is right.
func (c ccm) Open(dst, nonce, sealed, additional []byte) ([]byte, error) {
	n := len(sealed) - iotsafe.CipherTagSize
	if n < 0 {
		return nil, errNotAuthentic
	}
	text := c.crypt(nil, nonce, sealed[:n])
	tag := c.tag(nonce, text, additional)
	if subtle.ConstantTimeCompare(tag[:], sealed[n:]) != 1 {
		return nil, errNotAuthentic
	}
	return append(dst, text...), nil
}

// first is a block that begins with flags and nonce, and ends with a number.
func (c ccm) first(flags byte, nonce []byte, number int) [ccmBlock]byte {
	if len(nonce) != iotsafe.NonceSize {
		panic("ccm: a nonce of the wrong size")
	}
	var b [ccmBlock]byte
	binary.BigEndian.PutUint32(b[ccmBlock-4:], uint32(number)) // its first byte is overwritten: number < 1<<24
	b[0] = flags
	copy(b[1:], nonce)
	return b
}

// crypt is the text under the key stream that counts from 1.
func (c ccm) crypt(dst, nonce, text []byte) []byte {
	counter := c.first(ccmFlags, nonce, 1)
	start := len(dst)
	dst = append(dst, text...)
	cipher.NewCTR(c.block, counter[:]).XORKeyStream(dst[start:], text)
	return dst
}

// tag is the CBC-MAC over lengths, additional data and text, under the key stream's block
// 0.
func (c ccm) tag(nonce, text, additional []byte) [iotsafe.CipherTagSize]byte {
	if len(text) > ccmMaxText || len(additional) > ccmMaxShort {
		panic("ccm: too long")
	}
	flags := byte(ccmTagFlags | ccmFlags)
	if len(additional) > 0 {
		flags |= ccmAdditional
	}
	mac := c.first(flags, nonce, len(text))
	c.block.Encrypt(mac[:], mac[:])
	if len(additional) > 0 {
		c.absorb(&mac, binary.BigEndian.AppendUint16(nil, uint16(len(additional))), additional)
	}
	c.absorb(&mac, text)
	zero := c.first(ccmFlags, nonce, 0)
	c.block.Encrypt(zero[:], zero[:])
	subtle.XORBytes(mac[:], mac[:], zero[:])
	return mac
}

// absorb takes parts into the MAC, filled up with zeros to whole blocks.
func (c ccm) absorb(mac *[ccmBlock]byte, parts ...[]byte) {
	at := 0
	for _, p := range parts {
		for _, x := range p {
			mac[at] ^= x
			if at++; at == ccmBlock {
				c.block.Encrypt(mac[:], mac[:])
				at = 0
			}
		}
	}
	if at > 0 {
		c.block.Encrypt(mac[:], mac[:])
	}
}
