package psktls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// ccm is AES-CCM (RFC 3610, NIST SP 800-38C) with nonces of 12 bytes, hence a length field
// of 3, as TLS uses it (RFC 6655). What it does and how long it takes depend on lengths
// alone, given that the block cipher does.
type ccm struct {
	block   cipher.Block
	tagSize int
}

// ccmLengthLen is L of RFC 3610: 15 less the nonce's length.
const ccmLengthLen = 15 - nonceLen

// ccmMax is the longest message that a length field of 3 bytes can tell.
const ccmMax = 1<<(8*ccmLengthLen) - 1

var (
	errCCMOpen   = errors.New("psktls: message authentication failed")
	errCCMLength = "psktls: CCM called with a nonce or message of impossible length" // a fault of the caller's program
)

// newCCM is AES-CCM with tags of tagSize bytes, 8 or 16.
func newCCM(key []byte, tagSize int) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &ccm{block: block, tagSize: tagSize}, nil
}

func (c *ccm) NonceSize() int { return nonceLen }
func (c *ccm) Overhead() int  { return c.tagSize }

// Seal implements [cipher.AEAD]. plaintext and dst overlap exactly or not at all.
func (c *ccm) Seal(dst, nonce, plaintext, additional []byte) []byte {
	if len(nonce) != nonceLen || len(plaintext) > ccmMax {
		panic(errCCMLength)
	}
	tag := c.tag(nonce, plaintext, additional)
	out, body := extend(dst, len(plaintext)+c.tagSize)
	c.stream(body, plaintext, &tag, nonce)
	copy(body[len(plaintext):], tag[:c.tagSize])
	return out
}

// Open implements [cipher.AEAD]. ciphertext and dst overlap exactly or not at all. Nothing
// of a message that is not authentic is left in dst.
func (c *ccm) Open(dst, nonce, ciphertext, additional []byte) ([]byte, error) {
	n := len(ciphertext) - c.tagSize
	if len(nonce) != nonceLen || n < 0 || n > ccmMax {
		return nil, errCCMOpen
	}
	var got [aes.BlockSize]byte
	copy(got[:], ciphertext[n:])
	out, body := extend(dst, n)
	c.stream(body, ciphertext[:n], &got, nonce)
	want := c.tag(nonce, body, additional)
	if subtle.ConstantTimeCompare(got[:c.tagSize], want[:c.tagSize]) != 1 {
		clear(body)
		return nil, errCCMOpen
	}
	return out, nil
}

// stream encrypts or decrypts message into dst, and tag with the first block of key stream
// (RFC 3610, 2.3).
func (c *ccm) stream(dst, message []byte, tag *[aes.BlockSize]byte, nonce []byte) {
	var counter [aes.BlockSize]byte
	counter[0] = ccmLengthLen - 1
	copy(counter[1:], nonce)
	ctr := cipher.NewCTR(c.block, counter[:])
	ctr.XORKeyStream(tag[:], tag[:])
	ctr.XORKeyStream(dst[:len(message)], message)
}

// tag is the CBC-MAC over the first block, the additional data and the message (RFC 3610,
// 2.2), not yet encrypted.
func (c *ccm) tag(nonce, message, additional []byte) (x [aes.BlockSize]byte) {
	x[0] = byte((c.tagSize-2)/2<<3 | (ccmLengthLen - 1))
	if len(additional) > 0 {
		x[0] |= 1 << 6
	}
	copy(x[1:], nonce)
	n := len(message)
	x[13], x[14], x[15] = byte(n>>16), byte(n>>8), byte(n)
	c.block.Encrypt(x[:], x[:])

	if len(additional) > 0 {
		// Two bytes of length serve for less than 0xFF00 bytes; TLS has 13 at most.
		if len(additional) >= 0xFF00 {
			panic(errCCMLength)
		}
		var first [aes.BlockSize]byte
		binary.BigEndian.PutUint16(first[:], uint16(len(additional)))
		used := copy(first[2:], additional)
		c.absorb(&x, first[:])
		c.absorb(&x, additional[used:])
	}
	c.absorb(&x, message)
	return x
}

// absorb takes data into the CBC-MAC, padded with zeros to full blocks.
func (c *ccm) absorb(x *[aes.BlockSize]byte, data []byte) {
	for len(data) > 0 {
		n := subtle.XORBytes(x[:], x[:], data[:min(len(data), aes.BlockSize)])
		c.block.Encrypt(x[:], x[:])
		data = data[n:]
	}
}

// extend makes room for n bytes behind b, in place if there is capacity.
func extend(b []byte, n int) (whole, tail []byte) {
	if total := len(b) + n; cap(b) >= total {
		whole = b[:total]
	} else {
		whole = make([]byte, total)
		copy(whole, b)
	}
	return whole, whole[len(b):]
}
