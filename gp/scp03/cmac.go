package scp03

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
)

const blockSize = aes.BlockSize

// cmac is AES-CMAC (NIST SP 800-38B, RFC 4493) with its two subkeys computed once.
type cmac struct {
	block  cipher.Block
	k1, k2 [blockSize]byte
}

// newCMAC expects a key that [Keys.Check] has accepted, or one derived for it.
func newCMAC(key []byte) *cmac {
	m := &cmac{block: newAES(key)}
	m.block.Encrypt(m.k1[:], m.k1[:])
	double(&m.k1)
	m.k2 = m.k1
	double(&m.k2)
	return m
}

// newAES expects a key of 16, 24 or 32 bytes, the only thing that can go wrong.
func newAES(key []byte) cipher.Block {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("scp03: " + err.Error())
	}
	return block
}

// double multiplies by x in the field of SP 800-38B, without a branch on secret bits.
func double(b *[blockSize]byte) {
	carry := -(b[0] >> 7) // 00 or FF
	for i := range b {
		b[i] <<= 1
		if i+1 < len(b) {
			b[i] |= b[i+1] >> 7
		}
	}
	b[blockSize-1] ^= carry & 0x87
}

// sum is the MAC over the parts, one after the other.
func (m *cmac) sum(parts ...[]byte) [blockSize]byte {
	var state, buffer [blockSize]byte
	n := 0
	for _, part := range parts {
		for len(part) > 0 {
			if n == blockSize { // more follows, so this block is not the last
				subtle.XORBytes(state[:], state[:], buffer[:])
				m.block.Encrypt(state[:], state[:])
				n = 0
			}
			taken := copy(buffer[n:], part)
			n, part = n+taken, part[taken:]
		}
	}
	last := &m.k1
	if n < blockSize {
		last = &m.k2
		buffer[n] = 0x80
		clear(buffer[n+1:])
	}
	subtle.XORBytes(state[:], state[:], buffer[:])
	subtle.XORBytes(state[:], state[:], last[:])
	m.block.Encrypt(state[:], state[:])
	return state
}
