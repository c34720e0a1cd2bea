package scp03

// Constants that tell what is derived (Amendment D, table 4-1).
const (
	cardCryptogram byte = 0x00
	hostCryptogram byte = 0x01
	cardChallengeK byte = 0x02
	sessionENC     byte = 0x04
	sessionMAC     byte = 0x06
	sessionRMAC    byte = 0x07
)

// derive is the key derivation of Amendment D, 4.1.5: counter mode of NIST SP 800-108
// with AES-CMAC, size bytes.
func derive(m *cmac, constant byte, size int, context ...[]byte) []byte {
	bits := size * 8
	var head [blockSize]byte
	head[11], head[13], head[14] = constant, byte(bits>>8), byte(bits)
	parts := append([][]byte{head[:]}, context...)
	out := make([]byte, 0, size+blockSize)
	for len(out) < size {
		head[15]++
		block := m.sum(parts...)
		out = append(out, block[:]...)
	}
	return out[:size:size]
}

// cardChallenge is the pseudo-random challenge of a card (Amendment D, 6.2.2.1).
func cardChallenge(enc []byte, counter uint32, aid []byte) [challengeSize]byte {
	c := []byte{byte(counter >> 16), byte(counter >> 8), byte(counter)}
	return [challengeSize]byte(derive(newCMAC(enc), cardChallengeK, challengeSize, c, aid))
}
