package scp03

import (
	"crypto/cipher"
	"errors"
)

// errSensitive does not say what is wrong, so that it helps nobody to guess.
var errSensitive = errors.New("scp03: enciphered data is damaged or under another key")

// seal pads plain (ISO/IEC 7816-4: 80, then zeros) and enciphers it in CBC mode.
func seal(block cipher.Block, iv, plain []byte) []byte {
	out := make([]byte, (len(plain)/blockSize+1)*blockSize)
	out[copy(out, plain)] = 0x80
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return out
}

// open reverses seal.
func open(block cipher.Block, iv, sealed []byte) ([]byte, bool) {
	if len(sealed) == 0 || len(sealed)%blockSize != 0 {
		return nil, false
	}
	plain := make([]byte, len(sealed))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, sealed)
	for n := len(plain) - 1; n >= len(plain)-blockSize; n-- {
		switch plain[n] {
		case 0x00:
		case 0x80:
			return plain[:n:n], true
		default:
			return nil, false
		}
	}
	return nil, false
}

func encryptSensitive(dek, plain []byte) []byte {
	return seal(newAES(dek), make([]byte, blockSize), plain)
}

func decryptSensitive(dek, encrypted []byte) ([]byte, error) {
	plain, ok := open(newAES(dek), make([]byte, blockSize), encrypted)
	if !ok {
		return nil, errSensitive
	}
	return plain, nil
}
